/*
 * What the main thread does for the clusters of one configuration: discovery, the names of matches, health checks. And
 * whether readiness has to wait for them.
 *
 * Thread: the main thread's.
 */
#pragma once

#include <stdbool.h>

struct process;
struct snapshot;
struct upstreams;

/*
 * Prepares them; nothing is asked or checked yet. Makes process->resolver when the first names come.
 * ret_upstreams  set on success only; release with upstreams_free(), before the snapshot goes
 * Returns 0 or a negative errno; what failed was logged.
 */
int upstreams_new(struct process *process, struct snapshot *snapshot, struct upstreams **ret_upstreams);

/*
 * Begins, with what `previous` (or NULL) knows. Returns whether some cluster has other endpoints now. The snapshot's
 * clusters must have been published.
 */
bool upstreams_begin(struct upstreams *upstreams, struct upstreams *previous);
void upstreams_free(struct upstreams *upstreams);

/* After the start: takes the blocker `endpoints` away, now or once the required clusters are known. */
void upstreams_await(struct process *process);

/* Looks whether it may go now: other clusters may be required than before. Does nothing when it is gone. */
void upstreams_look(struct process *process);

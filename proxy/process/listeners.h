/* The listening sockets of a configuration. */
#pragma once

struct process;
struct snapshot;

/*
 * Makes the snapshot's listeners. Those that `previous` (or NULL) has keep their sockets; the others are opened, one
 * for each worker. Returns 0 or a negative errno; what failed was logged, and `previous` is as it was.
 */
int listeners_open(struct process *process, struct snapshot *snapshot, const struct snapshot *previous);

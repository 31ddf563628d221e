/*
 * Active health checks of all clusters that have them: each endpoint is probed every interval, with jitter, and counts
 * as unhealthy after `fall` failures in a row, or at the first one if that is its first probe; `rise` successes bring
 * it back.
 *
 * Thread: the main thread's.
 */
#pragma once

#include <event2/event.h>

#include "proxy/upstream/cluster.h"

struct health_checker;
struct health_tls;

/*
 * on_outcome   an endpoint of the cluster has had its first outcome, or has become unhealthy (`is_down`)
 * `clusters` and `tls` are borrowed. Returns 0 or -ENOMEM. ret_checker: release with health_checker_free(), before they
 * go.
 */
int health_checker_new(struct event_base *base, struct cluster_set *clusters, struct health_tls *tls,
                       void (*on_outcome)(void *owner, struct cluster *cluster, bool is_down), void *owner,
                       struct health_checker **ret_checker);

/*
 * Begins, and goes on with the checks of `previous` (or NULL) whose cluster has the same ones. An endpoint that is not
 * checked any more counts as healthy. Returns 0, or -ENOMEM when not every endpoint is checked.
 */
int health_checker_begin(struct health_checker *checker, struct health_checker *previous);
void health_checker_free(struct health_checker *checker);

/* Whether every endpoint of the cluster that is checked has had an outcome. */
bool health_checker_knows(const struct health_checker *checker, const struct cluster *cluster);

/* The cluster's endpoints are others now: begins with new ones, ends with those that are gone. Returns 0 or -ENOMEM. */
int health_checker_update(struct health_checker *checker, struct cluster *cluster);

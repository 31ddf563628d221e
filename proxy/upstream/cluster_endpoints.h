/*
 * The endpoints of a cluster: made from its configuration and what its names resolve to, published by the main thread,
 * read by all.
 */
#pragma once

#include "proxy/upstream/cluster.h"
#include "proxy/upstream/dns_name.h"

/* The newest endpoints, or NULL for original_destination. They stay until the view's next call. Thread: the view's. */
const struct endpoint_set *cluster_view_get(struct cluster_view *view, struct cluster_state *state);

/* The newest endpoints, as a reference of the caller's; NULL for original_destination. Thread: any. */
struct endpoint_set *cluster_get_endpoints(struct cluster_state *state);

/*
 * Makes the configured addresses, and those that the configured names have, the cluster's endpoints. One that it has
 * had before is the same, with its health. What is gone is marked so.
 *
 * names        for each configured endpoint that is a name, in their order; NULL when there are none
 * ret_changed  the cluster has other endpoints now
 * Returns 0, or -ENOMEM, which is logged: then the old ones stay. Thread: the main thread.
 */
int cluster_publish(struct cluster *cluster, const struct dns_name *const *names, uint64_t now_ms, bool *ret_changed);

/* The cluster has no endpoints any more: it is out of the configuration. Thread: the main thread. */
void cluster_publish_none(struct cluster_state *state, uint64_t now_ms);

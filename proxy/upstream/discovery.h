/*
 * Keeps the endpoints of clusters with `discovery: dns` fresh: every name is asked for again when its TTL is over.
 *
 * Per name and family the last addresses stay while the server cannot be asked (no answer, SERVFAIL); they go when it
 * says that there are none (NXDOMAIN, no data), since somebody else may have them by now.
 *
 * Thread: the main thread's.
 */
#pragma once

#include <event2/event.h>

#include "proxy/upstream/cluster.h"

struct discoverer;

/*
 * Begins to ask. Without any such cluster it does nothing.
 *
 * on_change    the cluster has other endpoints
 * Returns 0, -ENOMEM, or -EINVAL when the resolver cannot be set up. ret_discovery: release with discovery_free(),
 * before the clusters go.
 */
int discovery_new(struct event_base *base, struct cluster_set *clusters,
                  void (*on_change)(void *owner, struct cluster *cluster), void *owner,
                  struct discoverer **ret_discovery);
void discovery_free(struct discoverer *discovery);

/* Whether every name of the cluster has been answered, or has failed, once. */
bool discovery_knows(const struct discoverer *discovery, const struct cluster *cluster);

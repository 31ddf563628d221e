/*
 * Keeps the endpoints of clusters with `discovery: dns` fresh, see dns_name.h.
 *
 * Thread: the main thread's.
 */
#pragma once

#include <event2/event.h>

#include "proxy/upstream/cluster.h"
#include "proxy/upstream/dns.h"

struct discoverer;

/*
 * on_answer    a name of the cluster was answered, or not; `changed`: the cluster has other endpoints
 * `resolver` and `clusters` are borrowed. Returns 0 or -ENOMEM. ret_discovery: release with discovery_free(), before
 * both go.
 */
int discovery_new(struct event_base *base, struct dns_resolver *resolver, struct cluster_set *clusters,
                  void (*on_answer)(void *owner, struct cluster *cluster, bool changed), void *owner,
                  struct discoverer **ret_discovery);

/*
 * Takes over what `previous` (or NULL) knows of the same clusters' names, publishes what is known, and begins to ask
 * for the others; answers may come before this returns. Until a cluster's new names are known it keeps the endpoints
 * that it has. Returns whether some cluster has other endpoints now.
 */
bool discovery_begin(struct discoverer *discovery, struct discoverer *previous);
void discovery_free(struct discoverer *discovery);

/* Whether every name of the cluster's endpoints has been answered once. */
bool discovery_knows(const struct discoverer *discovery, const struct cluster *cluster);

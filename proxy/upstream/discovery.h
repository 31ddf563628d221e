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
 * `resolver` is borrowed. Returns 0 or -ENOMEM. ret_discovery: release with discovery_free(), after the resolver and
 * before the clusters go.
 */
int discovery_new(struct event_base *base, struct dns_resolver *resolver, struct cluster_set *clusters,
                  void (*on_answer)(void *owner, struct cluster *cluster, bool changed), void *owner,
                  struct discoverer **ret_discovery);

/* Begins to ask; answers may come before this returns. */
void discovery_begin(struct discoverer *discovery);
void discovery_free(struct discoverer *discovery);

/* Whether every name of the cluster's endpoints has been answered once. NULL knows everything. */
bool discovery_knows(const struct discoverer *discovery, const struct cluster *cluster);

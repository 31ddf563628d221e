/*
 * Resolves the names in `match: hosts` and keeps the route table up to date. An address that a name no longer has goes
 * on matching for ten minutes: an app may have kept it.
 *
 * Thread: the main thread's.
 */
#pragma once

#include <event2/event.h>
#include <stdbool.h>

#include "proxy/upstream/cluster.h"
#include "proxy/upstream/dns.h"

#define MATCH_HOSTS_MOST_ADDRESSES 4096 /* of one name; beyond it the one that has been gone for longest goes */

struct match_hosts;

/*
 * on_known     a name's first answer is in the routes
 * `resolver` and `clusters` are borrowed. Returns 0 or -ENOMEM. ret_hosts: release with match_hosts_free(), before both
 * go.
 */
int match_hosts_new(struct event_base *base, struct dns_resolver *resolver, struct cluster_set *clusters,
                    void (*on_known)(void *owner), void *owner, struct match_hosts **ret_hosts);

/* Takes over what `previous` (or NULL) knows of the same names, puts that into the routes, and begins to ask. */
void match_hosts_begin(struct match_hosts *hosts, struct match_hosts *previous);
void match_hosts_free(struct match_hosts *hosts);

/* Whether every host of the cluster's matches has been answered once, and the routes say so. */
bool match_hosts_knows(const struct match_hosts *hosts, const struct cluster *cluster);

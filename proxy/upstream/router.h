/*
 * The route table in force, for all workers. The main thread publishes another when a host's addresses change.
 * Owner: the cluster set. Thread: any, but for what says otherwise.
 */
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "proxy/upstream/route.h"

struct router {
    pthread_mutex_t mutex; /* of `table` */
    struct route_table *table;
    atomic_uint generation; /* changes with `table` */
};

/* Takes over the reference; NULL only until router_publish(), and before anybody looks. */
void router_init(struct router *router, struct route_table *table);
void router_done(struct router *router);

/* Takes over the reference. */
void router_publish(struct router *router, struct route_table *table);

/* The table in force, as a reference of the caller's. */
struct route_table *router_get(struct router *router);

/* One thread's view of it, so that looking takes no lock. An all-zero struct has none. */
struct router_view {
    const struct router *router; /* whose */
    struct route_table *table;
    unsigned generation;
};

/* The newest table. It stays until the view's next call. Thread: the view's. */
const struct route_table *router_view_get(struct router_view *view, struct router *router);
void router_view_done(struct router_view *view);

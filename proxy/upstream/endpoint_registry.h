/*
 * The endpoints that a cluster has had, by address, so that one that comes back is the same as before: with its
 * health and its ejections. What has been gone for ten minutes is forgotten.
 *
 * Thread: the main thread's.
 */
#pragma once

#include <stddef.h>

#include "proxy/upstream/endpoint.h"

#define ENDPOINT_REGISTRY_MOST (4 * 1024) /* beyond it the one that has been gone for longest is forgotten */

/* All zero: empty. */
struct endpoint_registry {
    struct endpoint **items; /* a reference each */
    size_t count, room;
};

/* Takes a reference. Without memory it is not remembered. */
void endpoint_registry_add(struct endpoint_registry *registry, struct endpoint *endpoint);

/*
 * The endpoint with this address, known or new, as a reference of the caller's; NULL without memory.
 * added_ms     when it comes, or comes back: slow start counts from here; 0: it has none
 */
struct endpoint *endpoint_registry_get(struct endpoint_registry *registry, const union sockaddr_any *address,
                                       uint64_t added_ms);

void endpoint_registry_forget_old(struct endpoint_registry *registry, uint64_t now_ms);
void endpoint_registry_done(struct endpoint_registry *registry);

/*
 * The endpoints of a cluster at one time, in the order in which they are preferred. It never changes; discovery makes
 * another.
 *
 * Owner: whoever holds a reference. Thread: any, read only.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proxy/upstream/endpoint.h"

#define ENDPOINT_SET_MOST 1024 /* endpoints */

/* An endpoint as one set has it. */
struct endpoint_slot {
    struct endpoint *endpoint; /* a reference */
    uint32_t weight;           /* 1 and more */
    uint32_t priority;         /* lower ones first; the higher take over when no lower one is left */
    bool is_near;              /* in the proxy's own zone, and the cluster prefers that */
};

/* Endpoints that are preferred alike: of one priority and nearness. */
struct endpoint_level {
    const struct endpoint_slot *slots;
    size_t count;
    uint32_t priority;
    /*
     * Indices of slots, each as often as its weight says, evenly spread: taken in turn they are a smooth weighted round
     * robin, taken at random a weighted choice.
     */
    const uint16_t *sequence;
    size_t sequence_length;
};

struct endpoint_set {
    atomic_uint references;
    size_t count, level_count;
    struct endpoint_slot *slots; /* by priority, the near ones first, then in the order given */
    struct endpoint_level *levels;
    uint16_t *sequences;
};

/*
 * Takes references on the endpoints of `slots`, of which `count` may be 0.
 * ret_set      set on success only; release with endpoint_set_unref()
 * Returns 0, -ENOMEM, or -E2BIG beyond ENDPOINT_SET_MOST.
 */
int endpoint_set_new(const struct endpoint_slot *slots, size_t count, struct endpoint_set **ret_set);
void endpoint_set_ref(struct endpoint_set *set);
void endpoint_set_unref(struct endpoint_set *set);

/* The endpoint with this address, or NULL. */
struct endpoint *endpoint_set_find(const struct endpoint_set *set, const struct sockaddr *address);

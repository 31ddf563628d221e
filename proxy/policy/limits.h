/* The process's limits, over all workers. Thread: any. */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>

#include "proxy/policy/accept_rate.h"
#include "proxy/policy/tally.h"

/*
 * A connection has two descriptors. What may have more, for a while, takes from those that are kept from connections:
 * RESERVED_DESCRIPTORS of startup.c, of which health checks have 64.
 */
#define LIMITS_MOST_HEDGES 32 /* attempts beside others, see hedge.h */
#define LIMITS_MOST_STRAYS 16 /* attempts that lost, see stray.h */

struct limits {
    atomic_uint connections;
    atomic_uint max_connections; /* a reload may change it */
    atomic_uint hedges, strays;
    atomic_uint handshakes;                  /* of clients, TLS */
    atomic_uint max_handshakes;              /* a reload may change it */
    struct accept_rate accept_rate;          /* of inbound and plain listeners */
    atomic_ulong rate_pauses, famine_pauses; /* how often accepting stopped for a while, over all workers */
    struct tally *clients;                   /* that have a limit of their source or port; see conn/admission.h */
};

/* Takes one of a count that `most` limits; false when there is none left. */
static inline bool limits_take(atomic_uint *count, unsigned most)
{
    if (atomic_fetch_add_explicit(count, 1, memory_order_relaxed) < most)
        return true;
    atomic_fetch_sub_explicit(count, 1, memory_order_relaxed);
    return false;
}

static inline void limits_give(atomic_uint *count)
{
    atomic_fetch_sub_explicit(count, 1, memory_order_relaxed);
}

/* Takes one; false when the limit is reached. */
static inline bool limits_acquire(struct limits *limits)
{
    unsigned count = atomic_load_explicit(&limits->connections, memory_order_relaxed);

    do {
        if (count >= atomic_load_explicit(&limits->max_connections, memory_order_relaxed))
            return false;
    } while (!atomic_compare_exchange_weak_explicit(&limits->connections, &count, count + 1, memory_order_relaxed,
                                                    memory_order_relaxed));
    return true;
}

static inline void limits_release(struct limits *limits)
{
    atomic_fetch_sub_explicit(&limits->connections, 1, memory_order_relaxed);
}

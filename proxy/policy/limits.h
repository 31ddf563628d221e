/* The process's limit of client connections, over all workers. Thread: any. */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>

struct limits {
    atomic_uint connections;
    unsigned max_connections;
};

/* Takes one; false when the limit is reached. */
static inline bool limits_acquire(struct limits *limits)
{
    unsigned count = atomic_load_explicit(&limits->connections, memory_order_relaxed);

    do {
        if (count >= limits->max_connections)
            return false;
    } while (!atomic_compare_exchange_weak_explicit(&limits->connections, &count, count + 1, memory_order_relaxed,
                                                    memory_order_relaxed));
    return true;
}

static inline void limits_release(struct limits *limits)
{
    atomic_fetch_sub_explicit(&limits->connections, 1, memory_order_relaxed);
}

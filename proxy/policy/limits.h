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
    if (atomic_fetch_add_explicit(&limits->connections, 1, memory_order_relaxed) < limits->max_connections)
        return true;
    atomic_fetch_sub_explicit(&limits->connections, 1, memory_order_relaxed);
    return false;
}

static inline void limits_release(struct limits *limits)
{
    atomic_fetch_sub_explicit(&limits->connections, 1, memory_order_relaxed);
}

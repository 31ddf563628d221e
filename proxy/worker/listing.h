/*
 * A list of the connections there are, and of those that ended last, of all workers. The main thread asks, each worker
 * fills in its part between two turns.
 */
#pragma once

#include <stdatomic.h>
#include <stddef.h>

#include "proxy/observe/connections.h"

#define LISTING_MOST 1000 /* connections, of each worker */

struct worker;

struct listing {
    atomic_uint awaited;           /* workers whose part is not there yet */
    size_t count[64], total[64];   /* of each worker, as many as `workers` may be */
    struct connection_view *views; /* LISTING_MOST for each worker */
    struct endings *endings;       /* of each worker */
};

/* Returns 0 or -ENOMEM. Thread: the main thread. */
int listing_init(struct listing *listing, unsigned workers);
void listing_done(struct listing *listing);

/* Fills in the worker's part of shared->listing, the oldest first. Thread: the worker's. */
void listing_fill(struct worker *worker);

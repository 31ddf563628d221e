/*
 * One direction of a connection: reads into the worker's shared scratch, writes at once, keeps only what the sink would
 * not take. Knows nothing of connections, endings or timers; its owner acts on what it returns.
 *
 * Thread: the worker's.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/chunk_queue.h"
#include "proxy/conn/buffer_memory.h"
#include "proxy/net/transport.h"

#define PUMP_SCRATCH_SIZE (256 * 1024)

/*
 * A turn ends after about so many bytes; other connections go first. Measured (docs/decisions/0008): four times
 * as much cost 8 % more CPU for a byte sent up, and 41 % more for one sent down.
 */
#define PUMP_TURN_BYTES PUMP_SCRATCH_SIZE

struct replay;

/* A worker's means, shared by all its pumps. */
struct pump_means {
    char *scratch; /* PUMP_SCRATCH_SIZE bytes, on a page's boundary: the kernel copies faster to and from there */
    struct buffer_budget budget;
    size_t most_queued; /* limits.buffer_per_connection */
};

struct pump {
    struct chunk_queue queue; /* read, and not yet taken by the sink */
    uint64_t bytes;           /* read in all */
    size_t charged;           /* to the budget: for the queue, and for what the sink owes to the kernel */
    struct replay *replay;    /* gets a copy of what is read; NULL: nothing does */
    bool full;                /* no room: the source is not read until the queue is half empty */
};

enum pump_result {
    PUMP_WAITS,      /* nothing more to do for now */
    PUMP_SOURCE_END, /* the source's orderly end */
    PUMP_SOURCE_CUT,
    PUMP_SINK_CUT,
    PUMP_NO_MEMORY,
};

/*
 * Moves what the source has. `sink` may be closed (not connected yet): then everything is queued. When the sink is cut,
 * what was read and not taken is queued, so that bytes read less bytes queued is always what the sink took.
 *
 * most         bytes to read at most
 * end_follows  the source's end is known to be behind what can be read: the last bytes may wait in the kernel for it,
 *              and PUMP_SOURCE_END must be passed on in this turn when nothing is queued
 * ret_error    set with PUMP_SOURCE_CUT and PUMP_SINK_CUT: a negative errno
 */
enum pump_result pump_fill(struct pump *pump, struct transport *source, struct transport *sink, size_t most,
                           bool end_follows, struct pump_means *means, int *ret_error);

/* Writes what is queued. PUMP_WAITS, or PUMP_SINK_CUT with *ret_error set. */
enum pump_result pump_flush(struct pump *pump, struct transport *sink, struct pump_means *means, int *ret_error);

/* Nothing has been written but what `replay` has kept: queues it again. Returns 0 or -ENOMEM. */
int pump_restore(struct pump *pump, struct pump_means *means);

/* Frees the queue and gives its memory back to the budget. */
void pump_discard(struct pump *pump, struct pump_means *means);

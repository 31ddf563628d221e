/*
 * How long something took: counts in buckets of fixed bounds, from a millisecond to an hour. The clock has
 * milliseconds, so less than one is 0.
 *
 * Thread: written by one thread with plain stores, read by any; see counters.h. Nothing but uint64_t is in it.
 */
#pragma once

#include <stdint.h>

/* Upper bounds in ms, both ends of what a proxy waits for. X(bound) */
#define HISTOGRAM_BOUNDS(X) \
    X(1) X(2) X(5) X(10) X(25) X(50) X(100) X(250) X(500) X(1000) X(2500) X(5000) X(10000) X(60000) X(600000) X(3600000)

enum {
#define X(bound) +1
    HISTOGRAM_BOUND_COUNT = 0 HISTOGRAM_BOUNDS(X)
#undef X
};

struct histogram {
    uint64_t counts[HISTOGRAM_BOUND_COUNT + 1]; /* of each bucket alone; the last: beyond all bounds */
    uint64_t sum_ms;
};

extern const uint32_t histogram_bounds_ms[HISTOGRAM_BOUND_COUNT];

void histogram_add(struct histogram *histogram, uint64_t ms);

#include "proxy/observe/histogram.h"

#include "proxy/observe/counters.h"

const uint32_t histogram_bounds_ms[HISTOGRAM_BOUND_COUNT] = {
#define X(bound) bound,
    HISTOGRAM_BOUNDS(X)
#undef X
};

void histogram_add(struct histogram *histogram, uint64_t ms)
{
    unsigned bucket = 0;

    while (bucket < HISTOGRAM_BOUND_COUNT && ms > histogram_bounds_ms[bucket])
        bucket++;
    counter_add(&histogram->counts[bucket], 1);
    counter_add(&histogram->sum_ms, ms);
}

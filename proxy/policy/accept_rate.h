/*
 * How many connections are accepted a second, over all workers: the generic cell rate algorithm (ITU-T I.371), in one
 * atomic word. After a pause, a tenth of a second's worth may come at once.
 *
 * Thread: any.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct accept_rate {
    atomic_uint_fast64_t per_second; /* up to 1,000,000; 0: no limit. A reload may change it */
    atomic_uint_fast64_t next_ns;    /* when the next is due, were they evenly spaced */
};

static inline bool accept_rate_is_limited(const struct accept_rate *rate)
{
    return atomic_load_explicit(&rate->per_second, memory_order_relaxed) > 0;
}

/*
 * Takes one.
 *
 * ret_taken_ns  what it took, for accept_rate_give(), since a reload may change the rate in between
 * Returns 0, or for how many milliseconds there will be none: then it took none.
 */
uint64_t accept_rate_take(struct accept_rate *rate, uint64_t now_ms, uint64_t *ret_taken_ns);

/* Gives back one that was not used. */
void accept_rate_give(struct accept_rate *rate, uint64_t taken_ns);

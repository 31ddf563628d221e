#include "proxy/policy/accept_rate.h"

#include "base/macros.h"

#define SECOND_NS      1000000000ULL
#define MILLISECOND_NS 1000000ULL
#define BURST_NS       (SECOND_NS / 10)

uint64_t accept_rate_take(struct accept_rate *rate, uint64_t now_ms, uint64_t *ret_taken_ns)
{
    uint64_t per_second = atomic_load_explicit(&rate->per_second, memory_order_relaxed);
    uint64_t now_ns = now_ms * MILLISECOND_NS, interval_ns, latest_ns;
    uint_fast64_t next_ns;

    *ret_taken_ns = 0;
    if (per_second == 0)
        return 0;
    interval_ns = SECOND_NS / per_second;
    latest_ns = now_ns + (interval_ns < BURST_NS ? BURST_NS - interval_ns : 0);
    next_ns = atomic_load_explicit(&rate->next_ns, memory_order_relaxed);
    do {
        if (next_ns > latest_ns)
            return (next_ns - latest_ns + MILLISECOND_NS - 1) / MILLISECOND_NS;
    } while (!atomic_compare_exchange_weak_explicit(&rate->next_ns, &next_ns, MAX(next_ns, now_ns) + interval_ns,
                                                    memory_order_relaxed, memory_order_relaxed));
    *ret_taken_ns = interval_ns;
    return 0;
}

void accept_rate_give(struct accept_rate *rate, uint64_t taken_ns)
{
    if (taken_ns > 0)
        atomic_fetch_sub_explicit(&rate->next_ns, taken_ns, memory_order_relaxed);
}

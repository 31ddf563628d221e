#include "proxy/upstream/outlier.h"

#include "base/macros.h"

/* 2^20 × the shortest base is longer than any max_ejection that makes sense. */
#define MOST_DOUBLINGS 20

enum outlier_state outlier_state(const struct outlier *outlier)
{
    return atomic_load_explicit(&outlier->state, memory_order_acquire);
}

bool outlier_is_closed(const struct outlier *outlier)
{
    return atomic_load_explicit(&outlier->state, memory_order_relaxed) == OUTLIER_CLOSED;
}

uint64_t outlier_take_trial(struct outlier *outlier, const struct outlier_config *config, uint64_t now_ms)
{
    uint64_t until_ms = atomic_load_explicit(&outlier->until_ms, memory_order_relaxed), token;
    enum outlier_state state;

    if (outlier_is_closed(outlier) || now_ms < until_ms)
        return 0;
    token = now_ms + config->base_ejection_ms;
    /* The one who moves the time has the trial; a trial that is never heard of again gives way to another. */
    if (!atomic_compare_exchange_strong_explicit(&outlier->until_ms, &until_ms, token, memory_order_acq_rel,
                                                 memory_order_relaxed))
        return 0;
    state = atomic_load_explicit(&outlier->state, memory_order_acquire);
    do { /* an earlier trial may have closed it this very moment */
        if (state == OUTLIER_CLOSED)
            return 0;
    } while (!atomic_compare_exchange_weak_explicit(&outlier->state, &state, OUTLIER_HALF_OPEN, memory_order_acq_rel,
                                                    memory_order_acquire));
    return token;
}

bool outlier_is_current_trial(const struct outlier *outlier, uint64_t trial)
{
    return trial != 0 && atomic_load_explicit(&outlier->until_ms, memory_order_relaxed) == trial &&
           outlier_state(outlier) == OUTLIER_HALF_OPEN;
}

bool outlier_count_failure(struct outlier *outlier, const struct outlier_config *config)
{
    unsigned failures = atomic_fetch_add_explicit(&outlier->failures, 1, memory_order_relaxed) + 1;

    return config->consecutive_failures > 0 && failures >= config->consecutive_failures;
}

uint64_t outlier_eject(struct outlier *outlier, const struct outlier_config *config, uint64_t now_ms,
                       struct random *random)
{
    unsigned doublings = MIN(atomic_load_explicit(&outlier->ejections, memory_order_relaxed), MOST_DOUBLINGS);
    uint64_t time_ms = MIN(config->base_ejection_ms << doublings, config->max_ejection_ms);

    if (outlier_state(outlier) == OUTLIER_OPEN)
        return 0;
    time_ms = MIN(time_ms + random_below(random, time_ms / 10 + 1), config->max_ejection_ms);
    atomic_store_explicit(&outlier->until_ms, now_ms + time_ms, memory_order_relaxed);
    atomic_store_explicit(&outlier->failures, 0, memory_order_relaxed);
    atomic_store_explicit(&outlier->ejections, doublings + 1, memory_order_relaxed);
    atomic_store_explicit(&outlier->renewed_ms, now_ms + time_ms, memory_order_relaxed);
    atomic_fetch_add_explicit(&outlier->ejected, 1, memory_order_relaxed);
    atomic_store_explicit(&outlier->state, OUTLIER_OPEN, memory_order_release);
    return time_ms;
}

/* At most once in base_ejection, so that a burst of successes between two failures does not forget everything. */
static void lower(struct outlier *outlier, const struct outlier_config *config, uint64_t now_ms)
{
    unsigned ejections = atomic_load_explicit(&outlier->ejections, memory_order_relaxed);
    uint64_t renewed_ms;

    if (ejections == 0)
        return;
    renewed_ms = atomic_load_explicit(&outlier->renewed_ms, memory_order_relaxed);
    if (now_ms < renewed_ms + config->base_ejection_ms ||
        !atomic_compare_exchange_strong_explicit(&outlier->renewed_ms, &renewed_ms, now_ms, memory_order_relaxed,
                                                 memory_order_relaxed))
        return;
    atomic_compare_exchange_strong_explicit(&outlier->ejections, &ejections, ejections - 1, memory_order_relaxed,
                                            memory_order_relaxed);
}

bool outlier_succeed(struct outlier *outlier, const struct outlier_config *config, uint64_t trial, uint64_t now_ms)
{
    enum outlier_state half_open = OUTLIER_HALF_OPEN;

    /* Read before it is written: the usual success leaves the cache line alone. */
    if (atomic_load_explicit(&outlier->failures, memory_order_relaxed) != 0)
        atomic_store_explicit(&outlier->failures, 0, memory_order_relaxed);
    lower(outlier, config, now_ms);
    return outlier_is_current_trial(outlier, trial) &&
           atomic_compare_exchange_strong_explicit(&outlier->state, &half_open, OUTLIER_CLOSED, memory_order_acq_rel,
                                                   memory_order_relaxed);
}

void outlier_abandon_trial(struct outlier *outlier, uint64_t trial, uint64_t now_ms)
{
    enum outlier_state half_open = OUTLIER_HALF_OPEN;

    if (!outlier_is_current_trial(outlier, trial))
        return;
    atomic_store_explicit(&outlier->until_ms, now_ms, memory_order_relaxed);
    atomic_compare_exchange_strong_explicit(&outlier->state, &half_open, OUTLIER_OPEN, memory_order_acq_rel,
                                            memory_order_relaxed);
}

void outlier_reset(struct outlier *outlier)
{
    atomic_store_explicit(&outlier->failures, 0, memory_order_relaxed);
    atomic_store_explicit(&outlier->ejections, 0, memory_order_relaxed);
    atomic_store_explicit(&outlier->state, OUTLIER_CLOSED, memory_order_release);
}

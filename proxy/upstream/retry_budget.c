#include "proxy/upstream/retry_budget.h"

#include "base/macros.h"

#define ONE 1000ULL /* a retry */

void retry_budget_init(struct retry_budget *budget, const struct retry_budget_config *config, uint64_t now_ms)
{
    *budget = (struct retry_budget){ .balance = config->burst * ONE, .window_began_ms = now_ms, .last_ms = now_ms };
    pthread_mutex_init(&budget->mutex, NULL);
}

void retry_budget_done(struct retry_budget *budget)
{
    pthread_mutex_destroy(&budget->mutex);
}

/*
 * Of a look back over more than a window, only a window's share counts; and what was earned in this window and the one
 * before may be saved beside the burst. Returns how much may be saved in all.
 */
static uint64_t earn_by_windows(struct retry_budget *budget, uint64_t window_ms, uint64_t earned, uint64_t now_ms)
{
    if (now_ms - budget->window_began_ms >= window_ms) {
        budget->earned_before = now_ms - budget->window_began_ms < 2 * window_ms ? budget->earned : 0;
        budget->earned = 0;
        budget->window_began_ms = now_ms;
    }
    budget->earned += earned;
    return budget->earned + budget->earned_before;
}

/* What came since the last look. */
static void earn(struct retry_budget *budget, const struct retry_budget_config *config, unsigned connections,
                 uint64_t now_ms)
{
    uint64_t elapsed_ms = now_ms - budget->last_ms;
    int32_t new_ones = (int32_t)(connections - budget->connections); /* below 0: another thread's count was newer */
    /* percent is in hundredths of a percent: 100% of a connection is 10000, and a whole retry is 1000 */
    uint64_t earned = (uint64_t)MAX(new_ones, 0) * config->percent / 10;
    uint64_t most = MAX(config->burst, (uint64_t)1) * ONE; /* one at least, or nothing could ever be spent */

    if (config->window_ms > 0 && elapsed_ms > config->window_ms) {
        earned = (uint64_t)((double)earned * (double)config->window_ms / (double)elapsed_ms);
        elapsed_ms = config->window_ms;
    }
    earned += elapsed_ms * config->min_per_second;
    if (new_ones > 0)
        budget->connections = connections;
    budget->last_ms = now_ms;
    if (config->window_ms > 0)
        most += earn_by_windows(budget, config->window_ms, earned, now_ms);
    budget->balance = MIN(budget->balance + earned, most);
}

bool retry_budget_take(struct retry_budget *budget, const struct retry_budget_config *config, unsigned connections,
                       uint64_t now_ms)
{
    bool taken;

    pthread_mutex_lock(&budget->mutex);
    if (now_ms >= budget->last_ms)
        earn(budget, config, connections, now_ms);
    taken = budget->balance >= ONE;
    if (taken)
        budget->balance -= ONE;
    pthread_mutex_unlock(&budget->mutex);
    return taken;
}

double retry_budget_left(struct retry_budget *budget, const struct retry_budget_config *config, unsigned connections,
                         uint64_t now_ms)
{
    double left;

    pthread_mutex_lock(&budget->mutex);
    if (now_ms >= budget->last_ms)
        earn(budget, config, connections, now_ms);
    left = (double)budget->balance / ONE;
    pthread_mutex_unlock(&budget->mutex);
    return left;
}

/*
 * How many retries a cluster may make, all its connections together (after Finagle's and linkerd's retry budgets):
 * each connection earns a part of one, time earns some, and each retry spends one. A burst of them may be saved, and
 * with a window what was earned in the last one or two.
 *
 * Thread: any. The hot path does nothing: who asks tells how many connections there have been.
 */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "proxy/config/model.h"

struct retry_budget {
    pthread_mutex_t mutex;
    uint64_t balance;               /* in thousandths of a retry */
    uint64_t earned, earned_before; /* in this window and the one before it; the same unit */
    uint64_t window_began_ms, last_ms;
    unsigned connections; /* at last_ms */
};

void retry_budget_init(struct retry_budget *budget, const struct retry_budget_config *config, uint64_t now_ms);
void retry_budget_done(struct retry_budget *budget);

/*
 * Spends one retry, if there is one. `connections`: how many the cluster has had so far; it may wrap around.
 */
bool retry_budget_take(struct retry_budget *budget, const struct retry_budget_config *config, unsigned connections,
                       uint64_t now_ms);

/* How many there are to spend now. */
double retry_budget_left(struct retry_budget *budget, const struct retry_budget_config *config, unsigned connections,
                         uint64_t now_ms);

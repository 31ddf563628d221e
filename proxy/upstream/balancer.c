#include "proxy/upstream/balancer.h"

#include "proxy/config/model.h"
#include "proxy/upstream/lb.h"

#define MOST_PRIORITIES 16 /* as the row of `priority` allows */

static lb_strategy *const strategies[] = {
    [LB_LEAST_CONNECTIONS] = lb_least_connections,
    [LB_ROUND_ROBIN] = lb_round_robin,
    [LB_RANDOM] = lb_random,
    [LB_SOURCE_HASH] = lb_source_hash,
};

static bool was_tried(const struct endpoint *endpoint, const struct balancer_request *request)
{
    for (size_t i = 0; i < request->tried_count; i++) {
        if (request->tried[i] == endpoint)
            return true;
    }
    return false;
}

static bool is_untried(const struct endpoint *endpoint, const void *argument)
{
    return !endpoint_is_disabled(endpoint) && !was_tried(endpoint, argument);
}

static bool is_healthy_and_untried(const struct endpoint *endpoint, const void *argument)
{
    return endpoint_is_healthy(endpoint) && !was_tried(endpoint, argument);
}

static struct endpoint *choose(const struct balancer_request *request, const struct endpoint_level *level,
                               bool (*is_usable)(const struct endpoint *, const void *))
{
    struct lb_choice choice = { .level = level,
                                .is_usable = is_usable,
                                .argument = request,
                                .random = request->random,
                                .turn = request->turn + (unsigned)request->tried_count, /* a retry has the next */
                                .hash = request->hash,
                                .slow_start_ms = request->config->load_balancing.slow_start_ms,
                                .now_ms = request->now_ms };

    return strategies[request->config->load_balancing.policy](&choice);
}

size_t balancer_count_healthy(const struct endpoint_set *set)
{
    size_t healthy = 0;

    for (size_t i = 0; i < set->count; i++)
        healthy += endpoint_is_healthy(set->slots[i].endpoint);
    return healthy;
}

/* The levels of one priority, from `first` on; returns the first behind them. */
static size_t end_of_priority(const struct endpoint_set *set, size_t first)
{
    size_t end = first;

    while (end < set->level_count && set->levels[end].priority == set->levels[first].priority)
        end++;
    return end;
}

/* Too few are healthy to carry everything: then all of them carry it (Envoy's panic threshold). */
static bool is_in_panic(const struct balancer_request *request, size_t first, size_t end)
{
    size_t healthy = 0, count = 0;

    for (size_t i = first; i < end; i++) {
        for (size_t j = 0; j < request->set->levels[i].count; j++) {
            healthy += endpoint_is_healthy(request->set->levels[i].slots[j].endpoint);
            count += !endpoint_is_disabled(request->set->levels[i].slots[j].endpoint);
        }
    }
    return healthy * 10000 < count * request->config->outlier_detection.panic_threshold;
}

/* The first endpoint whose time is up gets this connection, so that it comes back as soon as it may. */
static struct endpoint *find_trial(const struct balancer_request *request, size_t first, size_t end,
                                   uint64_t *ret_trial)
{
    for (size_t i = first; i < end; i++) {
        const struct endpoint_level *level = &request->set->levels[i];

        for (size_t j = 0; j < level->count; j++) {
            struct endpoint *endpoint = level->slots[j].endpoint;

            if (outlier_is_closed(&endpoint->outlier) || was_tried(endpoint, request) ||
                atomic_load_explicit(&endpoint->is_down, memory_order_relaxed) || endpoint_is_disabled(endpoint))
                continue;
            *ret_trial = outlier_take_trial(&endpoint->outlier, &request->config->outlier_detection, request->now_ms);
            if (*ret_trial != 0)
                return endpoint;
        }
    }
    return NULL;
}

static struct endpoint *choose_from(const struct balancer_request *request, size_t first, size_t end,
                                    bool (*is_usable)(const struct endpoint *, const void *))
{
    struct endpoint *endpoint = NULL;

    for (size_t i = first; i < end && !endpoint; i++)
        endpoint = choose(request, &request->set->levels[i], is_usable);
    return endpoint;
}

static struct endpoint *pick_of_healthy_set(const struct balancer_request *request)
{
    return choose_from(request, 0, request->set->level_count, is_untried);
}

struct endpoint *balancer_pick(const struct balancer_request *request, uint64_t *ret_trial)
{
    const struct endpoint_set *set = request->set;
    size_t panic_first[MOST_PRIORITIES], panic_end[MOST_PRIORITIES], panics = 0, end;
    struct endpoint *endpoint = NULL;

    *ret_trial = 0;
    if (request->all_healthy)
        return pick_of_healthy_set(request);
    for (size_t first = 0; first < set->level_count; first = end) {
        end = end_of_priority(set, first);
        endpoint = find_trial(request, first, end, ret_trial);
        if (endpoint)
            return endpoint;
        if (is_in_panic(request, first, end) && panics < MOST_PRIORITIES) {
            panic_first[panics] = first;
            panic_end[panics++] = end;
            continue;
        }
        endpoint = choose_from(request, first, end, is_healthy_and_untried);
        if (endpoint)
            return endpoint;
    }
    /* No priority that is well enough has one left: all of the others', in their order. */
    for (size_t i = 0; i < panics && !endpoint; i++)
        endpoint = choose_from(request, panic_first[i], panic_end[i], is_untried);
    return endpoint;
}

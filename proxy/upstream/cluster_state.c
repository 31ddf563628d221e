#include "proxy/upstream/cluster_state.h"

#include <errno.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/upstream/balancer.h"

/* The key stands first in a state. */
static int compare(const void *left, const void *right)
{
    const struct cluster_key *a = left, *b = right;

    if (a->has_endpoints != b->has_endpoints)
        return (int)a->has_endpoints - (int)b->has_endpoints;
    return strcmp(a->name, b->name);
}

void cluster_registry_init(struct cluster_registry *registry, unsigned workers)
{
    *registry = (struct cluster_registry){ .workers = workers };
    list_init(&registry->states);
}

static void ignore(void *state)
{
    (void)state;
}

void cluster_registry_done(struct cluster_registry *registry)
{
    tdestroy(registry->tree, ignore);
    registry->tree = NULL;
}

static void free_state(struct cluster_state *state)
{
    for (unsigned i = 0; i < state->shard_count; i++)
        endpoint_set_unref(state->shards[i].view.endpoints);
    free(state->shards);
    endpoint_set_unref(state->endpoints);
    endpoint_registry_done(&state->known);
    wait_queue_done(&state->pending);
    retry_budget_done(&state->budget);
    faults_done(&state->faults);
    pthread_mutex_destroy(&state->mutex);
    free(state);
}

static struct cluster_state *new_state(struct cluster_registry *registry, const struct cluster_config *config,
                                       bool has_endpoints, uint64_t now_ms)
{
    size_t name_size = strlen(config->name) + 1;
    struct cluster_state *state = calloc(1, sizeof *state + name_size);
    int r = 0;

    if (!state)
        return NULL;
    state->registry = registry;
    state->references = 1;
    memcpy(state->name, config->name, name_size);
    state->key = (struct cluster_key){ state->name, has_endpoints };
    pthread_mutex_init(&state->mutex, NULL);
    wait_queue_init(&state->pending);
    retry_budget_init(&state->budget, &config->retry.budget, now_ms);
    state->configured = config->faults;
    faults_init(&state->faults, &config->faults);
    atomic_init(&state->generation, 1);
    atomic_init(&state->max_connections, config->circuit_breaker.max_connections);
    state->shards = aligned_alloc(_Alignof(struct cluster_shard), registry->workers * sizeof *state->shards);
    if (state->shards) {
        state->shard_count = registry->workers;
        memset(state->shards, 0, state->shard_count * sizeof *state->shards);
    }
    if (has_endpoints)
        r = endpoint_set_new(NULL, 0, &state->endpoints);
    if (r == 0 && state->shards && tsearch(state, &registry->tree, compare)) {
        list_append(&registry->states, &state->in_registry);
        return state;
    }
    free_state(state);
    return NULL;
}

int cluster_registry_get(struct cluster_registry *registry, const struct cluster_config *config, uint64_t now_ms,
                         struct cluster_state **ret_state)
{
    struct cluster_key key = { config->name, config->discovery != DISCOVERY_ORIGINAL_DESTINATION };
    struct cluster_state **found = tfind(&key, &registry->tree, compare);

    if (found) {
        *ret_state = *found;
        (*ret_state)->references++;
        return 0;
    }
    *ret_state = new_state(registry, config, key.has_endpoints, now_ms);
    return *ret_state ? 0 : -ENOMEM;
}

void cluster_state_unref(struct cluster_state *state)
{
    if (!state || --state->references > 0)
        return;
    for (enum direction direction = 0; direction < DIRECTION_COUNT; direction++) {
        struct counters sum = cluster_state_count(state, direction);

        counters_sum(&state->registry->gone[direction], &sum);
    }
    tdelete(state, &state->registry->tree, compare);
    list_remove(&state->in_registry);
    free_state(state);
}

void cluster_state_look_at_health(struct cluster_state *state)
{
    atomic_store_explicit(&state->is_impaired, balancer_count_healthy(state->endpoints) < state->endpoints->count,
                          memory_order_relaxed);
}

struct counters cluster_state_count(const struct cluster_state *state, enum direction direction)
{
    struct counters sum = { 0 };

    for (unsigned i = 0; i < state->shard_count; i++)
        counters_sum(&sum, &state->shards[i].counters[direction]);
    return sum;
}

struct counters cluster_registry_count(const struct cluster_registry *registry, enum direction direction)
{
    struct counters all = registry->gone[direction];

    for (const struct list_node *node = registry->states.next; node != &registry->states; node = node->next) {
        const struct cluster_state *state = CONTAINER_OF((struct list_node *)(uintptr_t)node, struct cluster_state,
                                                         in_registry);
        struct counters sum = cluster_state_count(state, direction);

        counters_sum(&all, &sum);
    }
    return all;
}

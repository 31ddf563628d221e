#include "proxy/upstream/cluster.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "proxy/upstream/cluster_endpoints.h"

static int init_cluster(struct cluster_set *set, const struct cluster_config *config, struct cluster_registry *registry,
                        uint64_t now_ms, struct cluster **ret_cluster)
{
    struct cluster *cluster = &set->clusters[set->count];
    int r = cluster_registry_get(registry, config, now_ms, &cluster->state);

    if (r < 0)
        return r;
    cluster->config = config;
    cluster->zone = set->config->zone;
    cluster->index = set->count;
    set->count++;
    if (ret_cluster)
        *ret_cluster = cluster;
    return 0;
}

int cluster_set_new(const struct config *config, struct cluster_registry *registry, uint64_t now_ms,
                    struct cluster_set **ret_set)
{
    size_t inbound_ports = config->intercept.inbound.ports.count;
    struct cluster_set *set = calloc(1, sizeof *set);
    struct route_table *routes = NULL;
    int r = 0;

    if (!set)
        return -ENOMEM;
    set->config = config;
    router_init(&set->router, NULL);
    set->clusters = calloc(config->clusters.count + inbound_ports + 2, sizeof *set->clusters);
    if (!set->clusters)
        r = -ENOMEM;
    for (size_t i = 0; r == 0 && i < config->clusters.count; i++)
        r = init_cluster(set, &config->clusters.items[i], registry, now_ms, NULL);
    for (size_t i = 0; r == 0 && i < inbound_ports; i++)
        r = init_cluster(set, &config->intercept.inbound.ports.items[i].cluster, registry, now_ms, NULL);
    if (r == 0)
        r = init_cluster(set, &config->inbound, registry, now_ms, &set->inbound);
    if (r == 0)
        r = init_cluster(set, &config->passthrough, registry, now_ms, &set->passthrough);
    if (r == 0)
        r = route_table_new(config->match_rules.items, config->match_rules.count, &routes);
    if (r < 0) {
        cluster_set_free(set);
        return r;
    }
    router_publish(&set->router, routes);
    *ret_set = set;
    return 0;
}

void cluster_set_free(struct cluster_set *set)
{
    if (!set)
        return;
    for (size_t i = 0; i < set->count; i++)
        cluster_state_unref(set->clusters[i].state);
    router_done(&set->router);
    free(set->clusters);
    free(set);
}

struct cluster *cluster_set_match_inbound(const struct cluster_set *set, uint16_t port)
{
    const struct inbound_port_config *entries = set->config->intercept.inbound.ports.items;

    for (size_t i = 0; i < set->config->intercept.inbound.ports.count; i++) {
        for (size_t j = 0; j < entries[i].ports.count; j++) {
            if (port_range_contains(entries[i].ports.items[j], port))
                return &set->clusters[set->config->clusters.count + i];
        }
    }
    return set->inbound;
}

struct cluster *cluster_set_find(const struct cluster_set *set, const char *name)
{
    for (size_t i = 0; i < set->count; i++) {
        if (strcmp(set->clusters[i].config->name, name) == 0)
            return &set->clusters[i];
    }
    return NULL;
}

/* One of the cluster's connections, whoever waits. */
static bool take_place(void *owner)
{
    struct cluster_state *state = owner;
    uint64_t limit = atomic_load_explicit(&state->max_connections, memory_order_relaxed);
    unsigned count = atomic_load(&state->active);

    do {
        if (limit != CONFIG_UNLIMITED && count >= limit)
            return false;
    } while (!atomic_compare_exchange_weak(&state->active, &count, count + 1));
    return true;
}

static bool has_names(const struct cluster_config *config)
{
    for (size_t i = 0; i < config->endpoints.count; i++) {
        if (config->endpoints.items[i].at.host)
            return true;
    }
    return false;
}

/* Faults that were set while it ran stay, unless the file says something new. */
static void publish_faults(struct cluster *cluster)
{
    struct cluster_state *state = cluster->state;

    if (memcmp(&state->configured, &cluster->config->faults, sizeof state->configured) == 0)
        return;
    state->configured = cluster->config->faults;
    faults_set(&state->faults, &state->configured);
}

int cluster_set_publish(struct cluster_set *set, uint64_t now_ms, bool *ret_changed)
{
    int r = 0;

    *ret_changed = false;
    for (size_t i = 0; i < set->count; i++) {
        struct cluster *cluster = &set->clusters[i];
        struct cluster_state *state = cluster->state;
        bool changed = false;

        state->newest = cluster;
        atomic_store_explicit(&state->max_connections, cluster->config->circuit_breaker.max_connections,
                              memory_order_relaxed);
        wait_queue_grant(&state->pending, take_place, state);
        publish_faults(cluster);
        if (!state->key.has_endpoints || has_names(cluster->config))
            continue;
        if (cluster_publish(cluster, NULL, now_ms, &changed) < 0)
            r = -ENOMEM;
        state->was_published = true;
        *ret_changed |= changed;
    }
    return r;
}

bool cluster_acquire(struct cluster *cluster)
{
    return atomic_load_explicit(&cluster->state->pending.count, memory_order_relaxed) == 0 &&
           take_place(cluster->state);
}

void cluster_release(struct cluster *cluster)
{
    atomic_fetch_sub(&cluster->state->active, 1);
    if (atomic_load(&cluster->state->pending.count) > 0)
        wait_queue_grant(&cluster->state->pending, take_place, cluster->state);
}

bool cluster_wait(struct cluster *cluster, struct waiter *waiter)
{
    const struct circuit_breaker_config *limits = &cluster->config->circuit_breaker;

    if (limits->pending_timeout_ms > 0 &&
        wait_queue_add(&cluster->state->pending, waiter, (unsigned)limits->max_pending, take_place, cluster->state))
        return true;
    atomic_fetch_add_explicit(&cluster->state->pending_overflows, 1, memory_order_relaxed);
    return false;
}

bool cluster_give_up_waiting(struct cluster *cluster, struct waiter *waiter)
{
    return wait_queue_remove(&cluster->state->pending, waiter);
}

void cluster_stop_waiting(struct cluster *cluster, struct waiter *waiter)
{
    if (!wait_queue_remove(&cluster->state->pending, waiter))
        cluster_release(cluster);
}

unsigned cluster_next_turn(struct cluster *cluster)
{
    return atomic_fetch_add_explicit(&cluster->state->turn, 1, memory_order_relaxed);
}

bool cluster_begin_retry(struct cluster *cluster, uint64_t now_ms)
{
    uint64_t most = cluster->config->circuit_breaker.max_retries;
    unsigned before = atomic_fetch_add_explicit(&cluster->state->retrying, 1, memory_order_relaxed);

    if ((most == CONFIG_UNLIMITED || before < most) &&
        retry_budget_take(&cluster->state->budget, &cluster->config->retry.budget,
                          atomic_load_explicit(&cluster->state->turn, memory_order_relaxed), now_ms))
        return true;
    cluster_end_retry(cluster);
    atomic_fetch_add_explicit(&cluster->state->retry_overflows, 1, memory_order_relaxed);
    return false;
}

void cluster_end_retry(struct cluster *cluster)
{
    atomic_fetch_sub_explicit(&cluster->state->retrying, 1, memory_order_relaxed);
}

void cluster_pick(struct cluster *cluster, struct balancer_request *request, struct attempt_target *ret_target)
{
    *ret_target = (struct attempt_target){ 0 };
    request->config = cluster->config;
    request->all_healthy = !atomic_load_explicit(&cluster->state->is_impaired, memory_order_relaxed);
    ret_target->endpoint = balancer_pick(request, &ret_target->trial);
    if (!ret_target->endpoint)
        return;
    endpoint_ref(ret_target->endpoint);
    atomic_fetch_add_explicit(&ret_target->endpoint->active, 1, memory_order_relaxed);
}

void cluster_set_down(struct cluster *cluster, struct endpoint *endpoint, bool is_down, uint64_t now_ms)
{
    pthread_mutex_lock(&cluster->state->mutex);
    atomic_store_explicit(&endpoint->lost_ms, now_ms, memory_order_relaxed);
    atomic_store_explicit(&endpoint->is_down, is_down, memory_order_relaxed);
    cluster_state_look_at_health(cluster->state);
    pthread_mutex_unlock(&cluster->state->mutex);
}

void cluster_disable(struct cluster *cluster, struct endpoint *endpoint)
{
    pthread_mutex_lock(&cluster->state->mutex);
    atomic_store_explicit(&endpoint->is_disabled, true, memory_order_relaxed);
    cluster_state_look_at_health(cluster->state);
    pthread_mutex_unlock(&cluster->state->mutex);
}

void cluster_restore(struct cluster *cluster, struct endpoint *endpoint)
{
    pthread_mutex_lock(&cluster->state->mutex);
    atomic_store_explicit(&endpoint->is_disabled, false, memory_order_relaxed);
    outlier_reset(&endpoint->outlier);
    cluster_state_look_at_health(cluster->state);
    pthread_mutex_unlock(&cluster->state->mutex);
}

void cluster_report_success(struct cluster *cluster, struct attempt_target *target, uint64_t now_ms)
{
    char address[SOCKADDR_TEXT_SIZE];

    if (!target->endpoint)
        return;
    if (outlier_succeed(&target->endpoint->outlier, &cluster->config->outlier_detection, target->trial, now_ms)) {
        pthread_mutex_lock(&cluster->state->mutex);
        cluster_state_look_at_health(cluster->state);
        pthread_mutex_unlock(&cluster->state->mutex);
        log_info("cluster %s: endpoint %s is back: its trial succeeded", cluster->config->name,
                 sockaddr_format(&target->endpoint->address.any, address));
    }
    target->trial = 0;
}

/* Whether one more may be ejected. With the mutex held. */
static bool may_eject(const struct cluster *cluster)
{
    size_t count = cluster->state->endpoints->count, ejected = 0;

    for (size_t i = 0; i < count; i++)
        ejected += !outlier_is_closed(&cluster->state->endpoints->slots[i].endpoint->outlier);
    return (ejected + 1) * 10000 <= count * cluster->config->outlier_detection.max_ejected;
}

static void eject(struct cluster *cluster, struct attempt_target *target, struct random *random, uint64_t now_ms)
{
    struct outlier *outlier = &target->endpoint->outlier;
    char address[SOCKADDR_TEXT_SIZE];
    uint64_t time_ms = 0;

    pthread_mutex_lock(&cluster->state->mutex);
    if (!outlier_is_closed(outlier) || may_eject(cluster))
        time_ms = outlier_eject(outlier, &cluster->config->outlier_detection, now_ms, random);
    cluster_state_look_at_health(cluster->state);
    pthread_mutex_unlock(&cluster->state->mutex);
    if (time_ms == 0)
        return;
    atomic_fetch_add_explicit(&cluster->state->ejections, 1, memory_order_relaxed);
    log_warning("cluster %s: endpoint %s is ejected for %" PRIu64 " ms: %s", cluster->config->name,
                sockaddr_format(&target->endpoint->address.any, address), time_ms,
                target->trial != 0 ? "its trial failed" : "too many failures in a row");
}

void cluster_report_failure(struct cluster *cluster, struct attempt_target *target, struct random *random,
                            uint64_t now_ms)
{
    const struct outlier_config *config = &cluster->config->outlier_detection;

    if (!target->endpoint)
        return;
    /* What was begun before an ejection tells nothing new. */
    if (outlier_is_current_trial(&target->endpoint->outlier, target->trial) ||
        (outlier_is_closed(&target->endpoint->outlier) && outlier_count_failure(&target->endpoint->outlier, config)))
        eject(cluster, target, random, now_ms);
    target->trial = 0;
}

void cluster_let_go(struct attempt_target *target, uint64_t now_ms)
{
    if (!target->endpoint)
        return;
    outlier_abandon_trial(&target->endpoint->outlier, target->trial, now_ms);
    atomic_fetch_sub_explicit(&target->endpoint->active, 1, memory_order_relaxed);
    endpoint_unref(target->endpoint);
    *target = (struct attempt_target){ 0 };
}

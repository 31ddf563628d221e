#include "proxy/upstream/cluster.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"

void cluster_make_slot(const struct cluster *cluster, const struct endpoint_config *config, struct endpoint *endpoint,
                       struct endpoint_slot *ret_slot)
{
    *ret_slot = (struct endpoint_slot){
        .endpoint = endpoint,
        .weight = (uint32_t)config->weight,
        .priority = (uint32_t)config->priority,
        .is_near = cluster->config->load_balancing.zone_aware && cluster->zone && config->zone &&
                   strcmp(cluster->zone, config->zone) == 0,
    };
}

/* The configured addresses; names are discovery's. Slow start is for those that come later. */
static int make_endpoints(struct cluster *cluster)
{
    size_t configured = cluster->config->endpoints.count, count = 0;
    struct endpoint_slot *slots = calloc(configured + 1, sizeof *slots);
    int r = slots ? 0 : -ENOMEM;

    for (size_t i = 0; r == 0 && i < configured; i++) {
        const struct endpoint_config *config = &cluster->config->endpoints.items[i];
        struct endpoint *endpoint;

        if (config->at.host)
            continue;
        endpoint = endpoint_new(&config->at.address, 0);
        if (endpoint)
            cluster_make_slot(cluster, config, endpoint, &slots[count++]);
        else
            r = -ENOMEM;
    }
    if (r == 0)
        r = endpoint_set_new(slots, count, &cluster->endpoints);
    for (size_t i = 0; i < count; i++)
        endpoint_unref(slots[i].endpoint);
    free(slots);
    return r;
}

static int init_cluster(struct cluster_set *set, const struct cluster_config *config, uint64_t now_ms,
                        struct cluster **ret_cluster)
{
    struct cluster *cluster = &set->clusters[set->count];

    cluster->config = config;
    cluster->zone = set->config->zone;
    cluster->index = set->count;
    pthread_mutex_init(&cluster->mutex, NULL);
    wait_queue_init(&cluster->pending);
    retry_budget_init(&cluster->budget, &config->retry.budget, now_ms);
    faults_init(&cluster->faults, &config->faults);
    atomic_init(&cluster->generation, 1);
    set->count++;
    if (ret_cluster)
        *ret_cluster = cluster;
    return config->endpoints.count > 0 ? make_endpoints(cluster) : 0;
}

int cluster_set_new(const struct config *config, uint64_t now_ms, struct cluster_set **ret_set)
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
        r = init_cluster(set, &config->clusters.items[i], now_ms, NULL);
    for (size_t i = 0; r == 0 && i < inbound_ports; i++)
        r = init_cluster(set, &config->intercept.inbound.ports.items[i].cluster, now_ms, NULL);
    if (r == 0)
        r = init_cluster(set, &config->inbound, now_ms, &set->inbound);
    if (r == 0)
        r = init_cluster(set, &config->passthrough, now_ms, &set->passthrough);
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
    for (size_t i = 0; i < set->count; i++) {
        endpoint_set_unref(set->clusters[i].endpoints);
        wait_queue_done(&set->clusters[i].pending);
        retry_budget_done(&set->clusters[i].budget);
        faults_done(&set->clusters[i].faults);
        pthread_mutex_destroy(&set->clusters[i].mutex);
    }
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

struct endpoint_set *cluster_get_endpoints(struct cluster *cluster)
{
    struct endpoint_set *endpoints;

    pthread_mutex_lock(&cluster->mutex);
    endpoints = cluster->endpoints;
    if (endpoints)
        endpoint_set_ref(endpoints);
    pthread_mutex_unlock(&cluster->mutex);
    return endpoints;
}

const struct endpoint_set *cluster_view_get(struct cluster_view *view, struct cluster *cluster)
{
    if (view->generation == atomic_load_explicit(&cluster->generation, memory_order_acquire))
        return view->endpoints;
    endpoint_set_unref(view->endpoints);
    /* First the number: should the endpoints change in between, the next call looks again. */
    view->generation = atomic_load_explicit(&cluster->generation, memory_order_acquire);
    view->endpoints = cluster_get_endpoints(cluster);
    return view->endpoints;
}

void cluster_view_done(struct cluster_view *view)
{
    endpoint_set_unref(view->endpoints);
    *view = (struct cluster_view){ 0 };
}

/* One of the cluster's connections, whoever waits. */
static bool take_place(void *owner)
{
    struct cluster *cluster = owner;
    uint64_t limit = cluster->config->circuit_breaker.max_connections;
    unsigned count = atomic_load(&cluster->active);

    do {
        if (limit != CONFIG_UNLIMITED && count >= limit)
            return false;
    } while (!atomic_compare_exchange_weak(&cluster->active, &count, count + 1));
    return true;
}

bool cluster_acquire(struct cluster *cluster)
{
    return atomic_load_explicit(&cluster->pending.count, memory_order_relaxed) == 0 && take_place(cluster);
}

void cluster_release(struct cluster *cluster)
{
    atomic_fetch_sub(&cluster->active, 1);
    if (atomic_load(&cluster->pending.count) > 0)
        wait_queue_grant(&cluster->pending, take_place, cluster);
}

bool cluster_wait(struct cluster *cluster, struct waiter *waiter)
{
    const struct circuit_breaker_config *limits = &cluster->config->circuit_breaker;

    if (limits->pending_timeout_ms > 0 &&
        wait_queue_add(&cluster->pending, waiter, (unsigned)limits->max_pending, take_place, cluster))
        return true;
    atomic_fetch_add_explicit(&cluster->pending_overflows, 1, memory_order_relaxed);
    return false;
}

bool cluster_give_up_waiting(struct cluster *cluster, struct waiter *waiter)
{
    return wait_queue_remove(&cluster->pending, waiter);
}

void cluster_stop_waiting(struct cluster *cluster, struct waiter *waiter)
{
    if (!wait_queue_remove(&cluster->pending, waiter))
        cluster_release(cluster);
}

unsigned cluster_next_turn(struct cluster *cluster)
{
    return atomic_fetch_add_explicit(&cluster->turn, 1, memory_order_relaxed);
}

bool cluster_begin_retry(struct cluster *cluster, uint64_t now_ms)
{
    uint64_t most = cluster->config->circuit_breaker.max_retries;
    unsigned before = atomic_fetch_add_explicit(&cluster->retrying, 1, memory_order_relaxed);

    if ((most == CONFIG_UNLIMITED || before < most) &&
        retry_budget_take(&cluster->budget, &cluster->config->retry.budget,
                          atomic_load_explicit(&cluster->turn, memory_order_relaxed), now_ms))
        return true;
    cluster_end_retry(cluster);
    atomic_fetch_add_explicit(&cluster->retry_overflows, 1, memory_order_relaxed);
    return false;
}

void cluster_end_retry(struct cluster *cluster)
{
    atomic_fetch_sub_explicit(&cluster->retrying, 1, memory_order_relaxed);
}

void cluster_pick(struct cluster *cluster, struct balancer_request *request, struct attempt_target *ret_target)
{
    *ret_target = (struct attempt_target){ 0 };
    request->config = cluster->config;
    request->all_healthy = !atomic_load_explicit(&cluster->is_impaired, memory_order_relaxed);
    ret_target->endpoint = balancer_pick(request, &ret_target->trial);
    if (!ret_target->endpoint)
        return;
    endpoint_ref(ret_target->endpoint);
    atomic_fetch_add_explicit(&ret_target->endpoint->active, 1, memory_order_relaxed);
}

/* With the mutex held, after a change of health. */
static void look_at_health(struct cluster *cluster)
{
    atomic_store_explicit(&cluster->is_impaired, balancer_count_healthy(cluster->endpoints) < cluster->endpoints->count,
                          memory_order_relaxed);
}

static bool is_same(const struct endpoint_set *a, const struct endpoint_set *b)
{
    if (a->count != b->count)
        return false;
    for (size_t i = 0; i < a->count; i++) {
        const struct endpoint_slot *one = &a->slots[i], *other = &b->slots[i];

        if (one->endpoint != other->endpoint || one->weight != other->weight || one->priority != other->priority ||
            one->is_near != other->is_near)
            return false;
    }
    return true;
}

static void mark_gone(const struct endpoint_set *before, const struct endpoint_set *after, uint64_t now_ms)
{
    for (size_t i = 0; i < before->count; i++) {
        struct endpoint *endpoint = before->slots[i].endpoint;

        if (endpoint_set_find(after, &endpoint->address.any))
            continue;
        atomic_store_explicit(&endpoint->lost_ms, now_ms, memory_order_relaxed);
        atomic_store_explicit(&endpoint->is_gone, true, memory_order_relaxed);
    }
}

bool cluster_publish(struct cluster *cluster, struct endpoint_set *endpoints, uint64_t now_ms)
{
    struct endpoint_set *before;

    pthread_mutex_lock(&cluster->mutex);
    before = cluster->endpoints;
    if (is_same(before, endpoints)) {
        pthread_mutex_unlock(&cluster->mutex);
        endpoint_set_unref(endpoints);
        return false;
    }
    mark_gone(before, endpoints, now_ms);
    cluster->endpoints = endpoints;
    look_at_health(cluster);
    atomic_fetch_add_explicit(&cluster->generation, 1, memory_order_release);
    pthread_mutex_unlock(&cluster->mutex);
    endpoint_set_unref(before);
    return true;
}

void cluster_set_down(struct cluster *cluster, struct endpoint *endpoint, bool is_down, uint64_t now_ms)
{
    pthread_mutex_lock(&cluster->mutex);
    atomic_store_explicit(&endpoint->lost_ms, now_ms, memory_order_relaxed);
    atomic_store_explicit(&endpoint->is_down, is_down, memory_order_relaxed);
    look_at_health(cluster);
    pthread_mutex_unlock(&cluster->mutex);
}

void cluster_report_success(struct cluster *cluster, struct attempt_target *target, uint64_t now_ms)
{
    char address[SOCKADDR_TEXT_SIZE];

    if (!target->endpoint)
        return;
    if (outlier_succeed(&target->endpoint->outlier, &cluster->config->outlier_detection, target->trial, now_ms)) {
        pthread_mutex_lock(&cluster->mutex);
        look_at_health(cluster);
        pthread_mutex_unlock(&cluster->mutex);
        log_info("cluster %s: endpoint %s is back: its trial succeeded", cluster->config->name,
                 sockaddr_format(&target->endpoint->address.any, address));
    }
    target->trial = 0;
}

/* Whether one more may be ejected. With the mutex held. */
static bool may_eject(const struct cluster *cluster)
{
    size_t count = cluster->endpoints->count, ejected = 0;

    for (size_t i = 0; i < count; i++)
        ejected += !outlier_is_closed(&cluster->endpoints->slots[i].endpoint->outlier);
    return (ejected + 1) * 10000 <= count * cluster->config->outlier_detection.max_ejected;
}

static void eject(struct cluster *cluster, struct attempt_target *target, struct random *random, uint64_t now_ms)
{
    struct outlier *outlier = &target->endpoint->outlier;
    char address[SOCKADDR_TEXT_SIZE];
    uint64_t time_ms = 0;

    pthread_mutex_lock(&cluster->mutex);
    if (!outlier_is_closed(outlier) || may_eject(cluster))
        time_ms = outlier_eject(outlier, &cluster->config->outlier_detection, now_ms, random);
    look_at_health(cluster);
    pthread_mutex_unlock(&cluster->mutex);
    if (time_ms == 0)
        return;
    atomic_fetch_add_explicit(&cluster->ejections, 1, memory_order_relaxed);
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

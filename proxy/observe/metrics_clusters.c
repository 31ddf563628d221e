/* How clusters and their endpoints are. */
#include <stdio.h>
#include <string.h>

#include "base/macros.h"
#include "proxy/observe/metrics.h"
#include "proxy/upstream/balancer.h"
#include "proxy/upstream/cluster_endpoints.h"

#define LABELS_SIZE 512

/* Calls `value` for every cluster; below 0 there is nothing to tell. */
static void for_each_cluster(const struct metrics_source *source, const char *name, struct strbuf *text,
                             double (*value)(struct cluster *cluster, uint64_t now_ms))
{
    for (size_t i = 0; source->clusters && i < source->clusters->count; i++) {
        struct cluster *cluster = &source->clusters->clusters[i];
        double number = value(cluster, source->now_ms);
        char labels[LABELS_SIZE];

        snprintf(labels, sizeof labels, "cluster=\"%s\"", cluster->config->name);
        if (number >= 0)
            metrics_value(text, name, labels, number);
    }
}

static double cluster_endpoint_count(struct cluster *cluster, uint64_t now_ms)
{
    struct endpoint_set *set = cluster_get_endpoints(cluster->state);
    size_t count = set ? set->count : 0;

    (void)now_ms;
    endpoint_set_unref(set);
    return (double)count;
}

static double cluster_healthy(struct cluster *cluster, uint64_t now_ms)
{
    struct endpoint_set *set = cluster_get_endpoints(cluster->state);
    size_t count = set ? balancer_count_healthy(set) : 0;

    (void)now_ms;
    endpoint_set_unref(set);
    return (double)count;
}

static double cluster_retry_budget(struct cluster *cluster, uint64_t now_ms)
{
    return retry_budget_left(&cluster->state->budget, &cluster->config->retry.budget,
                             atomic_load_explicit(&cluster->state->turn, memory_order_relaxed), now_ms);
}

static double cluster_faults_on(struct cluster *cluster, uint64_t now_ms)
{
    (void)now_ms;
    return faults_are_on(&cluster->state->faults);
}

static double cluster_breaker_open(struct cluster *cluster, uint64_t now_ms)
{
    uint64_t most = cluster->config->circuit_breaker.max_connections;

    (void)now_ms;
    return most != CONFIG_UNLIMITED && atomic_load_explicit(&cluster->state->active, memory_order_relaxed) >= most;
}

static double cluster_max_connections(struct cluster *cluster, uint64_t now_ms)
{
    uint64_t most = cluster->config->circuit_breaker.max_connections;

    (void)now_ms;
    return most == CONFIG_UNLIMITED ? -1 : (double)most;
}

#define ATOMIC(name, member)                                                                \
    static double cluster_##name(struct cluster *cluster, uint64_t now_ms)                  \
    {                                                                                       \
        (void)now_ms;                                                                       \
        return (double)atomic_load_explicit(&cluster->state->member, memory_order_relaxed); \
    }
ATOMIC(active, active)
ATOMIC(pending, pending.count)
ATOMIC(pending_overflows, pending_overflows)
ATOMIC(retrying, retrying)
ATOMIC(retry_overflows, retry_overflows)
ATOMIC(ejections, ejections)

#define EACH_CLUSTER(value)                                                                                \
    static void append_##value(const struct metrics_source *source, const char *name, struct strbuf *text) \
    {                                                                                                      \
        for_each_cluster(source, name, text, cluster_##value);                                             \
    }
EACH_CLUSTER(endpoint_count)
EACH_CLUSTER(healthy)
EACH_CLUSTER(retry_budget)
EACH_CLUSTER(faults_on)
EACH_CLUSTER(breaker_open)
EACH_CLUSTER(max_connections)
EACH_CLUSTER(active)
EACH_CLUSTER(pending)
EACH_CLUSTER(pending_overflows)
EACH_CLUSTER(retrying)
EACH_CLUSTER(retry_overflows)
EACH_CLUSTER(ejections)

typedef void append_one(const struct endpoint *endpoint, const char *name, const char *labels, struct strbuf *text);

/* Calls `append` for every endpoint that is shown, if there is one; returns how many are not. */
static size_t for_each_endpoint(const struct metrics_source *source, const char *name, struct strbuf *text,
                                append_one *append)
{
    size_t shown = 0, left_out = 0;

    for (size_t i = 0; source->clusters && i < source->clusters->count; i++) {
        const struct cluster *cluster = &source->clusters->clusters[i];
        struct endpoint_set *set = cluster_get_endpoints(cluster->state);

        for (size_t j = 0; set && j < set->count; j++) {
            const struct endpoint *endpoint = set->slots[j].endpoint;
            char address[SOCKADDR_TEXT_SIZE];
            struct strbuf labels;

            if (shown == METRICS_MOST_ENDPOINTS) {
                left_out += set->count - j;
                break;
            }
            shown++;
            if (!append)
                continue;
            strbuf_init(&labels, LABELS_SIZE);
            strbuf_printf(&labels, "cluster=\"%s\",endpoint=\"", cluster->config->name);
            metrics_escape(&labels, sockaddr_format(&endpoint->address.any, address));
            strbuf_append(&labels, "\"");
            append(endpoint, name, labels.text, text);
            strbuf_done(&labels);
        }
        endpoint_set_unref(set);
    }
    return left_out;
}

static void endpoint_active(const struct endpoint *endpoint, const char *name, const char *labels, struct strbuf *text)
{
    metrics_count(text, name, labels, atomic_load_explicit(&endpoint->active, memory_order_relaxed));
}

static void endpoint_connects(const struct endpoint *endpoint, const char *name, const char *labels,
                              struct strbuf *text)
{
    metrics_count(text, name, labels, atomic_load_explicit(&endpoint->connects, memory_order_relaxed));
}

static void endpoint_failures(const struct endpoint *endpoint, const char *name, const char *labels,
                              struct strbuf *text)
{
    metrics_count(text, name, labels, atomic_load_explicit(&endpoint->connect_failures, memory_order_relaxed));
}

static void endpoint_ejections(const struct endpoint *endpoint, const char *name, const char *labels,
                               struct strbuf *text)
{
    metrics_count(text, name, labels, atomic_load_explicit(&endpoint->outlier.ejected, memory_order_relaxed));
}

/* One of the states is 1, the others are 0, so that no series comes and goes. */
static void endpoint_state(const struct endpoint *endpoint, const char *name, const char *labels, struct strbuf *text)
{
    static const char *const states[] = { "healthy", "unhealthy", "ejected", "trial", "disabled" };
    const char *state = endpoint_health_name(endpoint);

    for (size_t i = 0; i < ARRAY_SIZE(states); i++)
        strbuf_printf(text, "%s{%s,state=\"%s\"} %d\n", name, labels, states[i], strcmp(state, states[i]) == 0);
}

#define EACH_ENDPOINT(value)                                                                                        \
    static void append_endpoint_##value(const struct metrics_source *source, const char *name, struct strbuf *text) \
    {                                                                                                               \
        for_each_endpoint(source, name, text, endpoint_##value);                                                    \
    }
EACH_ENDPOINT(active)
EACH_ENDPOINT(connects)
EACH_ENDPOINT(failures)
EACH_ENDPOINT(ejections)
EACH_ENDPOINT(state)

static void append_left_out(const struct metrics_source *source, const char *name, struct strbuf *text)
{
    metrics_count(text, name, "", for_each_endpoint(source, name, text, NULL));
}

static void append_match_ties(const struct metrics_source *source, const char *name, struct strbuf *text)
{
    struct route_table *table;

    if (!source->clusters)
        return;
    table = router_get(&source->clusters->router);
    metrics_count(text, name, "", table->ties);
    route_table_unref(table);
}

#define ENDPOINT "cluster, endpoint"
#define PREFIX   "outrigger_"

static const struct metric_family families[] = {
    { PREFIX "cluster_endpoints", "gauge", "cluster", "Endpoints; 0 with original_destination.",
      append_endpoint_count },
    { PREFIX "cluster_healthy_endpoints", "gauge", "cluster",
      "Endpoints that are neither ejected, nor on trial, nor found unhealthy.", append_healthy },
    { PREFIX "cluster_connections_active", "gauge", "cluster",
      "Connections that count for circuit_breaker.max_connections.", append_active },
    { PREFIX "cluster_max_connections", "gauge", "cluster",
      "circuit_breaker.max_connections; left out where there is no limit.", append_max_connections },
    { PREFIX "cluster_circuit_breaker_open", "gauge", "cluster",
      "Whether max_connections is reached: new connections wait or are refused.", append_breaker_open },
    { PREFIX "cluster_pending", "gauge", "cluster", "Connections that wait for one of the cluster's to end.",
      append_pending },
    { PREFIX "cluster_pending_overflows_total", "counter", "cluster",
      "Connections that circuit_breaker.max_pending refused.", append_pending_overflows },
    { PREFIX "cluster_retrying", "gauge", "cluster", "Connections that are being retried.", append_retrying },
    { PREFIX "cluster_retry_budget_left", "gauge", "cluster", "Retries that retry.budget would allow now.",
      append_retry_budget },
    { PREFIX "cluster_retry_overflows_total", "counter", "cluster",
      "Retries that retry.budget or circuit_breaker.max_retries refused.", append_retry_overflows },
    { PREFIX "cluster_faults_on", "gauge", "cluster", "Whether faults are injected on purpose.", append_faults_on },
    { PREFIX "cluster_ejections_total", "counter", "cluster", "Endpoints that outlier_detection ejected.",
      append_ejections },
    { PREFIX "endpoint_connections_active", "gauge", ENDPOINT, "Connections and attempts at the endpoint.",
      append_endpoint_active },
    { PREFIX "endpoint_connects_total", "counter", ENDPOINT, "Attempts that succeeded.", append_endpoint_connects },
    { PREFIX "endpoint_connect_failures_total", "counter", ENDPOINT, "Attempts that failed.",
      append_endpoint_failures },
    { PREFIX "endpoint_ejections_total", "counter", ENDPOINT, "How often outlier_detection ejected it.",
      append_endpoint_ejections },
    { PREFIX "endpoint_state", "gauge", ENDPOINT ", state",
      "1 for the state that it is in: healthy, unhealthy (by health checks), ejected, trial or disabled (by command).",
      append_endpoint_state },
    { PREFIX "endpoints_left_out", "gauge", "", "Endpoints that are not among these metrics, since there are too many.",
      append_left_out },
    { PREFIX "match_ties", "gauge", "",
      "Addresses of hosts that match as closely as another cluster's; the first in the file has them.",
      append_match_ties },
};

const struct metric_table metrics_of_clusters = { "Clusters and endpoints", families, ARRAY_SIZE(families) };

#include "proxy/observe/prometheus.h"

#include <inttypes.h>

#include "base/log.h"
#include "base/macros.h"
#include "proxy/upstream/balancer.h"
#include "proxy/upstream/cluster_endpoints.h"

/* Calls `each` for every cluster and direction that has had a connection. */
static void for_each_row(const struct cluster_set *set, struct strbuf *text,
                         void (*each)(const struct counters *sum, const char *labels, struct strbuf *text))
{
    for (size_t cluster = 0; set && cluster < set->count; cluster++) {
        for (enum direction direction = 0; direction < DIRECTION_COUNT; direction++) {
            struct counters sum = cluster_state_count(set->clusters[cluster].state, direction);
            struct strbuf labels;

            if (sum.opened == 0)
                continue;
            strbuf_init(&labels, 512);
            strbuf_printf(&labels, "direction=\"%s\",cluster=\"%s\"", direction_name(direction),
                          set->clusters[cluster].config->name);
            each(&sum, labels.text, text);
            strbuf_done(&labels);
        }
    }
}

static void begin_family(struct strbuf *text, const char *name, const char *type, const char *help)
{
    strbuf_printf(text, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void append_opened(const struct counters *sum, const char *labels, struct strbuf *text)
{
    strbuf_printf(text, "outrigger_connections_opened_total{%s} %" PRIu64 "\n", labels, sum->opened);
}

static void append_active(const struct counters *sum, const char *labels, struct strbuf *text)
{
    uint64_t ended = counters_ended(sum); /* opened is counted first, but read first as well */

    strbuf_printf(text, "outrigger_connections_active{%s} %" PRIu64 "\n", labels,
                  sum->opened > ended ? sum->opened - ended : 0);
}

static void append_ended(const struct counters *sum, const char *labels, struct strbuf *text)
{
    for (enum end_reason reason = 0; reason < END_REASON_COUNT; reason++) {
        if (sum->ended[reason] > 0)
            strbuf_printf(text, "outrigger_connections_ended_total{%s,reason=\"%s\"} %" PRIu64 "\n", labels,
                          end_reason_name(reason), sum->ended[reason]);
    }
}

static void append_bytes(const struct counters *sum, const char *labels, struct strbuf *text)
{
    strbuf_printf(text, "outrigger_received_bytes_total{%s,from=\"client\"} %" PRIu64 "\n", labels,
                  sum->bytes_to_upstream);
    strbuf_printf(text, "outrigger_received_bytes_total{%s,from=\"upstream\"} %" PRIu64 "\n", labels,
                  sum->bytes_to_client);
}

static void append_retries(const struct counters *sum, const char *labels, struct strbuf *text)
{
    strbuf_printf(text, "outrigger_retries_total{%s} %" PRIu64 "\n", labels, sum->retries);
}

static void append_hedges(const struct counters *sum, const char *labels, struct strbuf *text)
{
    strbuf_printf(text, "outrigger_hedges_total{%s} %" PRIu64 "\n", labels, sum->hedges);
}

static void append_connect_failures(const struct counters *sum, const char *labels, struct strbuf *text)
{
    for (enum connect_cause cause = 0; cause < CONNECT_CAUSE_COUNT; cause++) {
        if (sum->connect_failures[cause] > 0)
            strbuf_printf(text, "outrigger_connect_failures_total{%s,cause=\"%s\"} %" PRIu64 "\n", labels,
                          connect_cause_name(cause), sum->connect_failures[cause]);
    }
}

static void append_faults(const struct counters *sum, const char *labels, struct strbuf *text)
{
    for (enum fault_kind kind = 0; kind < FAULT_KIND_COUNT; kind++) {
        if (sum->faults[kind] > 0)
            strbuf_printf(text, "outrigger_faults_injected_total{%s,fault=\"%s\"} %" PRIu64 "\n", labels,
                          fault_kind_name(kind), sum->faults[kind]);
    }
}

static void append_cluster_gauge(const struct cluster_set *set, struct strbuf *text, const char *name,
                                 unsigned long (*value)(struct cluster *cluster))
{
    for (size_t i = 0; set && i < set->count; i++)
        strbuf_printf(text, "%s{cluster=\"%s\"} %lu\n", name, set->clusters[i].config->name, value(&set->clusters[i]));
}

static unsigned long pending_of(struct cluster *cluster)
{
    return atomic_load_explicit(&cluster->state->pending.count, memory_order_relaxed);
}

static unsigned long pending_overflows_of(struct cluster *cluster)
{
    return atomic_load_explicit(&cluster->state->pending_overflows, memory_order_relaxed);
}

static unsigned long retry_overflows_of(struct cluster *cluster)
{
    return atomic_load_explicit(&cluster->state->retry_overflows, memory_order_relaxed);
}

static unsigned long endpoints_of(struct cluster *cluster)
{
    struct endpoint_set *set = cluster_get_endpoints(cluster->state);
    unsigned long count = set ? set->count : 0;

    endpoint_set_unref(set);
    return count;
}

static unsigned long healthy_of(struct cluster *cluster)
{
    struct endpoint_set *set = cluster_get_endpoints(cluster->state);
    unsigned long count = set ? balancer_count_healthy(set) : 0;

    endpoint_set_unref(set);
    return count;
}

static unsigned long faults_of(struct cluster *cluster)
{
    return faults_are_on(&cluster->state->faults);
}

static unsigned long ejections_of(struct cluster *cluster)
{
    return atomic_load_explicit(&cluster->state->ejections, memory_order_relaxed);
}

static const struct {
    const char *name, *type, *help;
    unsigned long (*value)(struct cluster *cluster);
} cluster_families[] = {
    { "outrigger_cluster_endpoints", "gauge", "Endpoints; 0 with original_destination.", endpoints_of },
    { "outrigger_cluster_healthy_endpoints", "gauge",
      "Endpoints that are neither ejected, nor on trial, nor found unhealthy.", healthy_of },
    { "outrigger_cluster_pending", "gauge", "Connections that wait for one of the cluster's to end.", pending_of },
    { "outrigger_cluster_pending_overflows_total", "counter", "Connections that circuit_breaker.max_pending refused.",
      pending_overflows_of },
    { "outrigger_cluster_retry_overflows_total", "counter",
      "Retries that retry.budget or circuit_breaker.max_retries refused.", retry_overflows_of },
    { "outrigger_cluster_faults_on", "gauge", "Whether faults are injected on purpose.", faults_of },
    { "outrigger_cluster_ejections_total", "counter", "Endpoints that outlier_detection ejected.", ejections_of },
};

static void append_match_ties(struct cluster_set *set, struct strbuf *text)
{
    struct route_table *table;

    if (!set)
        return;
    table = router_get(&set->router);
    begin_family(text, "outrigger_match_ties", "gauge",
                 "Addresses of hosts that match as closely as another cluster's; the first in the file has them.");
    strbuf_printf(text, "outrigger_match_ties %zu\n", table->ties);
    route_table_unref(table);
}

static void append_configuration(const struct status_configuration *configuration, struct strbuf *text)
{
    begin_family(text, "outrigger_config_reloads_total", "counter", "Reloads of the configuration, by outcome.");
    strbuf_printf(text, "outrigger_config_reloads_total{outcome=\"succeeded\"} %" PRIu64 "\n",
                  configuration->succeeded);
    strbuf_printf(text, "outrigger_config_reloads_total{outcome=\"refused\"} %" PRIu64 "\n", configuration->refused);
    begin_family(text, "outrigger_config_last_reload_successful", "gauge",
                 "0 when the configuration's file was refused the last time, and an older one is in force.");
    strbuf_printf(text, "outrigger_config_last_reload_successful %d\n", configuration->problem == NULL);
    begin_family(text, "outrigger_config_last_reload_success_timestamp_seconds", "gauge",
                 "When the configuration was last loaded, or found unchanged.");
    strbuf_printf(text, "outrigger_config_last_reload_success_timestamp_seconds %.3f\n", configuration->succeeded_s);
}

void prometheus_append(struct cluster_set *set, bool ready, const struct status_configuration *configuration,
                       struct strbuf *text)
{
    begin_family(text, "outrigger_build_info", "gauge", "Always 1; the version is a label.");
    strbuf_append(text, "outrigger_build_info{version=\"" OUTRIGGER_VERSION "\"} 1\n");
    begin_family(text, "outrigger_ready", "gauge", "Whether the proxy is ready.");
    strbuf_printf(text, "outrigger_ready %d\n", ready);
    append_configuration(configuration, text);
    begin_family(text, "outrigger_log_dropped_lines_total", "counter",
                 "Lines of the log that were lost, since nobody read them or they could not be written.");
    strbuf_printf(text, "outrigger_log_dropped_lines_total %lu\n", log_count_dropped());
    begin_family(text, "outrigger_connections_opened_total", "counter", "Connections that were accepted.");
    for_each_row(set, text, append_opened);
    begin_family(text, "outrigger_connections_active", "gauge", "Connections that are open.");
    for_each_row(set, text, append_active);
    begin_family(text, "outrigger_connections_ended_total", "counter", "Connections that ended, by reason.");
    for_each_row(set, text, append_ended);
    begin_family(text, "outrigger_received_bytes_total", "counter", "Bytes read from each side.");
    for_each_row(set, text, append_bytes);
    begin_family(text, "outrigger_retries_total", "counter", "Attempts after the first.");
    for_each_row(set, text, append_retries);
    begin_family(text, "outrigger_hedges_total", "counter", "Attempts that began beside one that was under way.");
    for_each_row(set, text, append_hedges);
    begin_family(text, "outrigger_connect_failures_total", "counter", "Attempts that failed, by cause.");
    for_each_row(set, text, append_connect_failures);
    begin_family(text, "outrigger_faults_injected_total", "counter", "Faults that were injected on purpose.");
    for_each_row(set, text, append_faults);
    for (size_t i = 0; i < ARRAY_SIZE(cluster_families); i++) {
        begin_family(text, cluster_families[i].name, cluster_families[i].type, cluster_families[i].help);
        append_cluster_gauge(set, text, cluster_families[i].name, cluster_families[i].value);
    }
    append_match_ties(set, text);
}

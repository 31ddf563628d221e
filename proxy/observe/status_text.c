#include <inttypes.h>
#include <time.h>

#include "base/macros.h"
#include "base/units.h"
#include "proxy/observe/status.h"
#include "proxy/upstream/cluster_endpoints.h"

static void append_time(struct strbuf *text, const char *state, double seconds)
{
    time_t whole = (time_t)seconds;
    char clock[16];
    struct tm utc;

    if (seconds <= 0)
        return;
    gmtime_r(&whole, &utc);
    strftime(clock, sizeof clock, "%H:%M:%S", &utc);
    strbuf_printf(text, "  %s %s.%03u", state, clock, (unsigned)((seconds - (double)whole) * 1000));
}

static void append_reasons(const struct counters *sum, struct strbuf *text)
{
    const char *separator = "";

    for (enum end_reason reason = 0; reason < END_REASON_COUNT; reason++) {
        if (sum->ended[reason] > 0) {
            strbuf_printf(text, "%s%s %" PRIu64, separator, end_reason_name(reason), sum->ended[reason]);
            separator = ", ";
        }
    }
}

static void append_traffic(const struct cluster_set *set, struct strbuf *text)
{
    strbuf_printf(text, "\n%-9s %-20s %9s %7s %11s %11s %8s  %s\n", "DIRECTION", "CLUSTER", "OPENED", "ACTIVE",
                  "FROM CLIENT", "FROM UPSTR.", "RETRIES", "ENDED");
    for (size_t i = 0; i < set->count; i++) {
        for (enum direction direction = 0; direction < DIRECTION_COUNT; direction++) {
            struct counters sum = cluster_state_count(set->clusters[i].state, direction);
            uint64_t ended = counters_ended(&sum);
            char from_client[UNITS_TEXT_SIZE], from_upstream[UNITS_TEXT_SIZE];

            if (sum.opened == 0)
                continue;
            strbuf_printf(text, "%-9s %-20s %9" PRIu64 " %7" PRIu64 " %11s %11s %8" PRIu64 "  ",
                          direction_name(direction), set->clusters[i].config->name, sum.opened,
                          sum.opened > ended ? sum.opened - ended : 0,
                          units_format_rounded_size(sum.bytes_to_upstream, from_client),
                          units_format_rounded_size(sum.bytes_to_client, from_upstream), sum.retries);
            append_reasons(&sum, text);
            strbuf_append(text, "\n");
        }
    }
}

/* A warning, since they are easily forgotten. */
static void append_faults(const struct cluster_set *set, struct strbuf *text)
{
    for (size_t i = 0; i < set->count; i++) {
        struct cluster *cluster = &set->clusters[i];

        if (!faults_are_on(&cluster->state->faults))
            continue;
        strbuf_printf(text, "\nFAULTS are injected into cluster %s: ", cluster->config->name);
        faults_append_text(&cluster->state->faults, text);
        strbuf_append(text, "\n");
    }
}

static void append_endpoints(const struct cluster_set *set, struct strbuf *text)
{
    bool headed = false;

    for (size_t i = 0; i < set->count; i++) {
        struct cluster *cluster = &set->clusters[i];
        struct endpoint_set *endpoints = cluster_get_endpoints(cluster->state);

        for (size_t j = 0; endpoints && j < endpoints->count; j++) {
            const struct endpoint *endpoint = endpoints->slots[j].endpoint;
            char address[SOCKADDR_TEXT_SIZE];

            if (!headed)
                strbuf_printf(text, "\n%-20s %-32s %-8s %7s %9s %9s\n", "CLUSTER", "ENDPOINT", "HEALTH", "ACTIVE",
                              "CONNECTS", "FAILURES");
            headed = true;
            strbuf_printf(text, "%-20s %-32s %-8s %7u %9lu %9lu\n", cluster->config->name,
                          sockaddr_format(&endpoint->address.any, address), endpoint_health_name(endpoint),
                          atomic_load_explicit(&endpoint->active, memory_order_relaxed),
                          atomic_load_explicit(&endpoint->connects, memory_order_relaxed),
                          atomic_load_explicit(&endpoint->connect_failures, memory_order_relaxed));
        }
        endpoint_set_unref(endpoints);
    }
}

static void append_configuration(const struct status_configuration *configuration, struct strbuf *text)
{
    strbuf_printf(text, "\nconfiguration %s:", configuration->path);
    append_time(text, "loaded", configuration->succeeded_s);
    if (configuration->problem) {
        append_time(text, "refused since", configuration->refused_s);
        strbuf_printf(text, "\n%s", configuration->problem);
    } else
        strbuf_append(text, "\n");
}

void clusters_append_text(const struct cluster_set *set, struct strbuf *text)
{
    if (!set)
        return;
    append_traffic(set, text);
    append_endpoints(set, text);
    append_faults(set, text);
}

void endings_append_text(const struct cluster_registry *registry, struct strbuf *text)
{
    struct counters all = { 0 };

    for (enum direction direction = 0; direction < DIRECTION_COUNT; direction++) {
        struct counters sum = cluster_registry_count(registry, direction);

        counters_sum(&all, &sum);
    }
    strbuf_printf(text, "%" PRIu64 " opened", all.opened);
    if (all.opened > 0)
        strbuf_append(text, "; ended: ");
    append_reasons(&all, text);
}

void status_append_text(const struct status_process *process, const struct cluster_set *set, struct strbuf *text)
{
    char uptime[UNITS_TEXT_SIZE];

    units_format_rounded_duration(process->uptime_ms, uptime);
    strbuf_printf(text, "outrigger %s: %s", OUTRIGGER_VERSION, process->state);
    if (process->blockers[0] != '\0')
        strbuf_printf(text, " (blockers: %s)", process->blockers);
    strbuf_printf(text, "\nup %s, %u workers, %u of %u connections\nsince (UTC):", uptime, process->workers,
                  process->active, process->max_connections);
    append_time(text, "starting", process->starting_s);
    append_time(text, "ready", process->ready_s);
    append_time(text, "draining", process->draining_s);
    append_configuration(process->configuration, text);
    clusters_append_text(set, text);
}

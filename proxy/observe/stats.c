#include "proxy/observe/stats.h"

#include <inttypes.h>

#include "base/units.h"
#include "proxy/observe/json.h"

void stats_add(struct stats *stats, const struct counters *counters)
{
    stats->opened += counters->opened;
    stats->ended += counters_ended(counters);
    stats->retries += counters->retries;
    stats->hedges += counters->hedges;
    stats->bytes_from_client += counters->bytes_to_upstream;
    stats->bytes_from_upstream += counters->bytes_to_client;
    for (enum connect_cause cause = 0; cause < CONNECT_CAUSE_COUNT; cause++)
        stats->connect_failures += counters->connect_failures[cause];
}

void stats_append_json(const struct stats *stats, struct strbuf *text)
{
    json_t *workers = json_array(), *answer;

    for (unsigned i = 0; i < stats->worker_count; i++)
        json_array_append_new(workers,
                              json_pack("{s:i, s:i, s:f}", "worker", (int)i, "active", (int)stats->workers[i].active,
                                        "last_turn_seconds", (double)stats->workers[i].last_turn_ms / 1000));
    answer = json_pack("{s:f, s:{s:i, s:i, s:o, s:o}, s:{s:o, s:o}, s:o, s:o, s:o}", "uptime_seconds",
                       (double)stats->uptime_ms / 1000, "connections", "active", (int)stats->active, "max",
                       (int)stats->max_connections, "opened", json_count(stats->opened), "ended",
                       json_count(stats->ended), "bytes", "from_client", json_count(stats->bytes_from_client),
                       "from_upstream", json_count(stats->bytes_from_upstream), "retries", json_count(stats->retries),
                       "hedges", json_count(stats->hedges), "connect_failures", json_count(stats->connect_failures));
    json_object_set_new(answer, "buffer_memory",
                        json_pack("{s:o, s:o}", "bytes", json_count(stats->buffer_bytes), "free",
                                  json_count(stats->buffer_free_bytes)));
    json_object_set_new(answer, "resident_bytes", json_count(stats->resident_bytes));
    json_object_set_new(answer, "descriptors",
                        json_pack("{s:i, s:i}", "open", (int)stats->descriptors, "max", (int)stats->max_descriptors));
    json_object_set_new(answer, "old_configurations", json_count(stats->old_configurations));
    json_object_set_new(answer, "dropped_log_lines", json_count(stats->dropped_log_lines));
    json_object_set_new(answer, "workers", workers);
    json_append(answer, text);
}

static void append_row(struct strbuf *text, const char *name, uint64_t value)
{
    strbuf_printf(text, "%-24s %12" PRIu64 "\n", name, value);
}

static void append_size(struct strbuf *text, const char *name, uint64_t bytes)
{
    char size[UNITS_TEXT_SIZE];

    strbuf_printf(text, "%-24s %12s\n", name, units_format_rounded_size(bytes, size));
}

void stats_append_text(const struct stats *stats, struct strbuf *text)
{
    char uptime[UNITS_TEXT_SIZE];

    units_format_duration(stats->uptime_ms / 1000 * 1000, uptime);
    strbuf_printf(text, "%-24s %12s\n", "up", uptime);
    strbuf_printf(text, "%-24s %12u of %u\n", "connections", stats->active, stats->max_connections);
    append_row(text, "  opened", stats->opened);
    append_row(text, "  ended", stats->ended);
    append_row(text, "retries", stats->retries);
    append_row(text, "  of them hedges", stats->hedges);
    append_row(text, "failed attempts", stats->connect_failures);
    append_size(text, "from clients", stats->bytes_from_client);
    append_size(text, "from upstreams", stats->bytes_from_upstream);
    append_size(text, "buffer memory", stats->buffer_bytes);
    append_size(text, "  free", stats->buffer_free_bytes);
    append_size(text, "resident memory", stats->resident_bytes);
    strbuf_printf(text, "%-24s %12u of %u\n", "descriptors", stats->descriptors, stats->max_descriptors);
    append_row(text, "old configurations", stats->old_configurations);
    append_row(text, "dropped log lines", stats->dropped_log_lines);
    for (unsigned i = 0; i < stats->worker_count; i++)
        strbuf_printf(text, "worker %-17u %12u connections, last turn %.1f s ago\n", i, stats->workers[i].active,
                      (double)stats->workers[i].last_turn_ms / 1000);
}

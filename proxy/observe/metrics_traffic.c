/* What connections did, for each cluster and direction. */
#include <stdio.h>

#include "base/macros.h"
#include "proxy/observe/counters.h"
#include "proxy/observe/metrics.h"

#define LABELS_SIZE 512

typedef void append_row(const struct counters *sum, const char *name, const char *labels, struct strbuf *text);

static void for_each_row(const struct metrics_source *source, const char *name, struct strbuf *text, append_row *append)
{
    for (size_t i = 0; i < source->row_count; i++) {
        const struct metrics_row *row = &source->rows[i];
        char labels[LABELS_SIZE];

        snprintf(labels, sizeof labels, "direction=\"%s\",cluster=\"%s\"", direction_name(row->direction),
                 row->cluster);
        append(&row->sum, name, labels, text);
    }
}

static void append_named(struct strbuf *text, const char *name, const char *labels, const char *label,
                         const char *value, uint64_t count)
{
    char all[LABELS_SIZE + 64];

    snprintf(all, sizeof all, "%s,%s=\"%s\"", labels, label, value);
    metrics_count(text, name, all, count);
}

static void row_opened(const struct counters *sum, const char *name, const char *labels, struct strbuf *text)
{
    metrics_count(text, name, labels, sum->opened);
}

static void row_active(const struct counters *sum, const char *name, const char *labels, struct strbuf *text)
{
    uint64_t ended = counters_ended(sum); /* opened is counted first, but read first as well */

    metrics_count(text, name, labels, sum->opened > ended ? sum->opened - ended : 0);
}

static void row_ended(const struct counters *sum, const char *name, const char *labels, struct strbuf *text)
{
    for (enum end_reason reason = 0; reason < END_REASON_COUNT; reason++) {
        if (sum->ended[reason] > 0)
            append_named(text, name, labels, "reason", end_reason_name(reason), sum->ended[reason]);
    }
}

static void row_bytes(const struct counters *sum, const char *name, const char *labels, struct strbuf *text)
{
    append_named(text, name, labels, "from", "client", sum->bytes_to_upstream);
    append_named(text, name, labels, "from", "upstream", sum->bytes_to_client);
}

static void row_retries(const struct counters *sum, const char *name, const char *labels, struct strbuf *text)
{
    metrics_count(text, name, labels, sum->retries);
}

static void row_hedges(const struct counters *sum, const char *name, const char *labels, struct strbuf *text)
{
    metrics_count(text, name, labels, sum->hedges);
}

static void row_connect_failures(const struct counters *sum, const char *name, const char *labels, struct strbuf *text)
{
    for (enum connect_cause cause = 0; cause < CONNECT_CAUSE_COUNT; cause++) {
        if (sum->connect_failures[cause] > 0)
            append_named(text, name, labels, "cause", connect_cause_name(cause), sum->connect_failures[cause]);
    }
}

static void row_faults(const struct counters *sum, const char *name, const char *labels, struct strbuf *text)
{
    for (enum fault_kind kind = 0; kind < FAULT_KIND_COUNT; kind++) {
        if (sum->faults[kind] > 0)
            append_named(text, name, labels, "fault", fault_kind_name(kind), sum->faults[kind]);
    }
}

static void row_connect(const struct counters *sum, const char *name, const char *labels, struct strbuf *text)
{
    metrics_histogram(text, name, labels, &sum->connect);
}

static void row_first_byte(const struct counters *sum, const char *name, const char *labels, struct strbuf *text)
{
    metrics_histogram(text, name, labels, &sum->first_byte);
}

static void row_duration(const struct counters *sum, const char *name, const char *labels, struct strbuf *text)
{
    metrics_histogram(text, name, labels, &sum->duration);
}

#define EACH(row)                                                                                        \
    static void append_##row(const struct metrics_source *source, const char *name, struct strbuf *text) \
    {                                                                                                    \
        for_each_row(source, name, text, row_##row);                                                     \
    }
EACH(opened)
EACH(active)
EACH(ended)
EACH(bytes)
EACH(retries)
EACH(hedges)
EACH(connect_failures)
EACH(faults)
EACH(connect)
EACH(first_byte)
EACH(duration)

#define ROW    "direction, cluster"
#define PREFIX "outrigger_"

static const struct metric_family families[] = {
    { PREFIX "connections_opened_total", "counter", ROW, "Connections that were accepted.", append_opened },
    { PREFIX "connections_active", "gauge", ROW, "Connections that are open.", append_active },
    { PREFIX "connections_ended_total", "counter", ROW ", reason", "Connections that ended, by reason.", append_ended },
    { PREFIX "received_bytes_total", "counter", ROW ", from", "Bytes read from each side.", append_bytes },
    { PREFIX "retries_total", "counter", ROW, "Attempts after the first.", append_retries },
    { PREFIX "hedges_total", "counter", ROW, "Attempts that began beside one that was under way.", append_hedges },
    { PREFIX "connect_failures_total", "counter", ROW ", cause", "Attempts that failed, by cause.",
      append_connect_failures },
    { PREFIX "faults_injected_total", "counter", ROW ", fault", "Faults that were injected on purpose.",
      append_faults },
    { PREFIX "connect_duration_seconds", "histogram", ROW ", le",
      "What the attempts took that succeeded, with TLS and what the other sidecar said.", append_connect },
    { PREFIX "first_byte_duration_seconds", "histogram", ROW ", le",
      "From connected until the upstream sent its first byte.", append_first_byte },
    { PREFIX "connection_duration_seconds", "histogram", ROW ", le", "How long connections lasted that have ended.",
      append_duration },
};

const struct metric_table metrics_of_traffic = { "Connections", families, ARRAY_SIZE(families) };

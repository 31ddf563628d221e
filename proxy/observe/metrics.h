/*
 * /metrics in the Prometheus text format, version 0.0.4. Every family is one row of a table, which docs/metrics.md is
 * made of as well. Labels are bounded: names of the configuration, names of this program's own tables, and endpoints up
 * to METRICS_MOST_ENDPOINTS.
 *
 * Thread: the main thread's.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/strbuf.h"
#include "proxy/observe/access_log.h"
#include "proxy/observe/identity_status.h"
#include "proxy/observe/stats.h"
#include "proxy/observe/status.h"

#define METRICS_MOST_ENDPOINTS 256 /* in all; the others are counted, not shown */

/* One cluster and direction that has had a connection. */
struct metrics_row {
    const char *cluster;
    enum direction direction;
    struct counters sum;
};

/* What is told; borrowed for one call. */
struct metrics_source {
    struct cluster_set *clusters; /* NULL before there are any */
    bool ready;
    uint64_t now_ms;
    const struct status_configuration *configuration;
    const struct identity_status *identity;
    const struct stats *stats;
    const struct access_log_counts *access_log;
    const struct metrics_row *rows; /* of `clusters`; set by metrics_append() */
    size_t row_count;
};

struct metric_family {
    const char *name;
    const char *type;   /* "counter", "gauge" or "histogram" */
    const char *labels; /* their names; "" for none */
    const char *help;
    void (*append)(const struct metrics_source *source, const char *name, struct strbuf *text);
};

struct metric_table {
    const char *title;
    const struct metric_family *families;
    size_t count;
};

extern const struct metric_table metrics_of_process, metrics_of_traffic, metrics_of_clusters, metrics_of_identity;

/* All of them; NULL behind the last. */
const struct metric_table *const *metrics_tables(void);

void metrics_append(struct metrics_source *source, struct strbuf *text);

/* For the tables' files: one sample. `labels` without braces, "" for none. */
void metrics_count(struct strbuf *text, const char *name, const char *labels, uint64_t value);
void metrics_value(struct strbuf *text, const char *name, const char *labels, double value);
void metrics_histogram(struct strbuf *text, const char *name, const char *labels, const struct histogram *histogram);

/* A label's value may hold anything: appends it escaped, as the format has it. */
void metrics_escape(struct strbuf *text, const char *value);

#include "proxy/observe/metrics.h"

#include <inttypes.h>
#include <stdlib.h>

#include "proxy/observe/counters.h"

static const struct metric_table *const tables[] = { &metrics_of_process, &metrics_of_traffic, &metrics_of_clusters,
                                                     &metrics_of_identity, NULL };

const struct metric_table *const *metrics_tables(void)
{
    return tables;
}

/* What was counted is added up once for all families. Without memory there are no rows. */
static struct metrics_row *make_rows(const struct cluster_set *set, size_t *ret_count)
{
    struct metrics_row *rows = set ? malloc(set->count * DIRECTION_COUNT * sizeof *rows + 1) : NULL;

    *ret_count = 0;
    for (size_t i = 0; rows && i < set->count; i++) {
        for (enum direction direction = 0; direction < DIRECTION_COUNT; direction++) {
            struct counters sum = cluster_state_count(set->clusters[i].state, direction);

            if (sum.opened > 0)
                rows[(*ret_count)++] = (struct metrics_row){ set->clusters[i].config->name, direction, sum };
        }
    }
    return rows;
}

void metrics_append(struct metrics_source *source, struct strbuf *text)
{
    struct metrics_row *rows = make_rows(source->clusters, &source->row_count);

    source->rows = rows;
    for (size_t table = 0; tables[table]; table++) {
        for (size_t i = 0; i < tables[table]->count; i++) {
            const struct metric_family *family = &tables[table]->families[i];

            strbuf_printf(text, "# HELP %s %s\n# TYPE %s %s\n", family->name, family->help, family->name, family->type);
            family->append(source, family->name, text);
        }
    }
    free(rows);
    source->rows = NULL;
    source->row_count = 0;
}

static void append_name(struct strbuf *text, const char *name, const char *labels)
{
    strbuf_printf(text, labels[0] != '\0' ? "%s{%s} " : "%s%s ", name, labels);
}

void metrics_count(struct strbuf *text, const char *name, const char *labels, uint64_t value)
{
    append_name(text, name, labels);
    strbuf_printf(text, "%" PRIu64 "\n", value);
}

void metrics_value(struct strbuf *text, const char *name, const char *labels, double value)
{
    append_name(text, name, labels);
    strbuf_printf(text, "%.15g\n", value);
}

void metrics_histogram(struct strbuf *text, const char *name, const char *labels, const struct histogram *histogram)
{
    const char *separator = labels[0] != '\0' ? "," : "";
    uint64_t count = 0;

    for (size_t i = 0; i < HISTOGRAM_BOUND_COUNT; i++) {
        count += histogram->counts[i];
        strbuf_printf(text, "%s_bucket{%s%sle=\"%g\"} %" PRIu64 "\n", name, labels, separator,
                      (double)histogram_bounds_ms[i] / 1000, count);
    }
    count += histogram->counts[HISTOGRAM_BOUND_COUNT];
    strbuf_printf(text, "%s_bucket{%s%sle=\"+Inf\"} %" PRIu64 "\n", name, labels, separator, count);
    strbuf_printf(text, labels[0] != '\0' ? "%s_sum{%s} " : "%s_sum%s ", name, labels);
    strbuf_printf(text, "%.15g\n", (double)histogram->sum_ms / 1000);
    strbuf_printf(text, labels[0] != '\0' ? "%s_count{%s} " : "%s_count%s ", name, labels);
    strbuf_printf(text, "%" PRIu64 "\n", count);
}

void metrics_escape(struct strbuf *text, const char *value)
{
    for (; *value; value++) {
        if (*value == '\\' || *value == '"')
            strbuf_append_bytes(text, "\\", 1);
        if (*value == '\n')
            strbuf_append(text, "\\n");
        else
            strbuf_append_bytes(text, value, 1);
    }
}

/* How the process is. The names that begin with process_ are those that all Prometheus clients have. */
#include <inttypes.h>
#include <stdio.h>

#include "base/macros.h"
#include "proxy/observe/metrics.h"

static void append_build_info(const struct metrics_source *source, const char *name, struct strbuf *text)
{
    (void)source;
    metrics_count(text, name, "version=\"" OUTRIGGER_VERSION "\"", 1);
}

static void append_ready(const struct metrics_source *source, const char *name, struct strbuf *text)
{
    metrics_count(text, name, "", source->ready);
}

static void append_reloads(const struct metrics_source *source, const char *name, struct strbuf *text)
{
    metrics_count(text, name, "outcome=\"succeeded\"", source->configuration->succeeded);
    metrics_count(text, name, "outcome=\"refused\"", source->configuration->refused);
}

static void append_reload_successful(const struct metrics_source *source, const char *name, struct strbuf *text)
{
    metrics_count(text, name, "", source->configuration->problem == NULL);
}

static void append_reload_time(const struct metrics_source *source, const char *name, struct strbuf *text)
{
    metrics_value(text, name, "", source->configuration->succeeded_s);
}

static void append_max_connections(const struct metrics_source *source, const char *name, struct strbuf *text)
{
    metrics_count(text, name, "", source->stats->max_connections);
}

static void append_accept_pauses(const struct metrics_source *source, const char *name, struct strbuf *text)
{
    metrics_count(text, name, "cause=\"rate\"", source->stats->rate_pauses);
    metrics_count(text, name, "cause=\"famine\"", source->stats->famine_pauses);
}

static void append_buffer_bytes(const struct metrics_source *source, const char *name, struct strbuf *text)
{
    metrics_count(text, name, "", source->stats->buffer_bytes);
}

static void append_buffer_free_bytes(const struct metrics_source *source, const char *name, struct strbuf *text)
{
    metrics_count(text, name, "", source->stats->buffer_free_bytes);
}

static void append_old_configurations(const struct metrics_source *source, const char *name, struct strbuf *text)
{
    metrics_count(text, name, "", source->stats->old_configurations);
}

static void append_dropped_log_lines(const struct metrics_source *source, const char *name, struct strbuf *text)
{
    metrics_count(text, name, "", source->stats->dropped_log_lines);
}

static void append_worker_active(const struct metrics_source *source, const char *name, struct strbuf *text)
{
    for (unsigned i = 0; i < source->stats->worker_count; i++) {
        char labels[32];

        snprintf(labels, sizeof labels, "worker=\"%u\"", i);
        metrics_count(text, name, labels, source->stats->workers[i].active);
    }
}

static void append_worker_lag(const struct metrics_source *source, const char *name, struct strbuf *text)
{
    for (unsigned i = 0; i < source->stats->worker_count; i++) {
        char labels[32];

        snprintf(labels, sizeof labels, "worker=\"%u\"", i);
        metrics_histogram(text, name, labels, &source->stats->workers[i].lag);
    }
}

static void append_cpu(const struct metrics_source *source, const char *name, struct strbuf *text)
{
    metrics_value(text, name, "", source->stats->cpu_seconds);
}

static void append_resident(const struct metrics_source *source, const char *name, struct strbuf *text)
{
    metrics_count(text, name, "", source->stats->resident_bytes);
}

static void append_descriptors(const struct metrics_source *source, const char *name, struct strbuf *text)
{
    metrics_count(text, name, "", source->stats->descriptors);
}

static void append_max_descriptors(const struct metrics_source *source, const char *name, struct strbuf *text)
{
    metrics_count(text, name, "", source->stats->max_descriptors);
}

static void append_started(const struct metrics_source *source, const char *name, struct strbuf *text)
{
    metrics_value(text, name, "", source->stats->started_s);
}

static const char *const sink_types[] = { [ACCESS_LOG_STDOUT] = "sink=\"stdout\"",
                                          [ACCESS_LOG_FILE] = "sink=\"file\"",
                                          [ACCESS_LOG_SYSLOG] = "sink=\"syslog\"" };

static void append_access_log_lines(const struct metrics_source *source, const char *name, struct strbuf *text)
{
    for (size_t type = 0; type < ARRAY_SIZE(sink_types); type++)
        metrics_count(text, name, sink_types[type], source->access_log->written[type]);
}

static void append_access_log_dropped(const struct metrics_source *source, const char *name, struct strbuf *text)
{
    metrics_count(text, name, "sink=\"all\"", source->access_log->dropped);
    for (size_t type = 0; type < ARRAY_SIZE(sink_types); type++)
        metrics_count(text, name, sink_types[type], source->access_log->lost[type]);
}

static void append_access_log_failing(const struct metrics_source *source, const char *name, struct strbuf *text)
{
    metrics_count(text, name, "", source->access_log->failing);
}

#define PREFIX "outrigger_"

static const struct metric_family families[] = {
    { PREFIX "build_info", "gauge", "version", "Always 1; the version is a label.", append_build_info },
    { PREFIX "ready", "gauge", "", "Whether the proxy is ready.", append_ready },
    { PREFIX "config_reloads_total", "counter", "outcome", "Reloads of the configuration, by outcome.",
      append_reloads },
    { PREFIX "config_last_reload_successful", "gauge", "",
      "0 when the configuration's file was refused the last time, and an older one is in force.",
      append_reload_successful },
    { PREFIX "config_last_reload_success_timestamp_seconds", "gauge", "",
      "When the configuration was last loaded, or found unchanged.", append_reload_time },
    { PREFIX "old_configurations", "gauge", "", "Older configurations that some connections stay with.",
      append_old_configurations },
    { PREFIX "max_connections", "gauge", "", "limits.max_connections, as it is in force.", append_max_connections },
    { PREFIX "accept_pauses_total", "counter", "cause",
      "How often a worker stopped accepting for a while: limits.accept_rate was reached, or there was no descriptor or "
      "memory.",
      append_accept_pauses },
    { PREFIX "buffer_memory_bytes", "gauge", "", "limits.buffer_memory.", append_buffer_bytes },
    { PREFIX "buffer_memory_free_bytes", "gauge", "", "What of it no connection holds.", append_buffer_free_bytes },
    { PREFIX "log_dropped_lines_total", "counter", "",
      "Lines of the log that were lost, since nobody read them or they could not be written.",
      append_dropped_log_lines },
    { PREFIX "access_log_lines_total", "counter", "sink",
      "Lines of the access log that were handed on, by type of sink.", append_access_log_lines },
    { PREFIX "access_log_dropped_lines_total", "counter", "sink",
      "Lines that a type of sink lost since it took nothing for too long; `all`: that came too fast for all of them.",
      append_access_log_dropped },
    { PREFIX "access_log_failing_sinks", "gauge", "", "Sinks of the access log that take nothing now.",
      append_access_log_failing },
    { PREFIX "worker_connections_active", "gauge", "worker", "Connections of each worker.", append_worker_active },
    { PREFIX "worker_lag_seconds", "histogram", "worker, le",
      "By how much a timer of every second was late: how long the worker's loop was busy with something else.",
      append_worker_lag },
    { "process_cpu_seconds_total", "counter", "", "CPU time of the process, in user space and in the kernel.",
      append_cpu },
    { "process_resident_memory_bytes", "gauge", "", "Memory that is resident.", append_resident },
    { "process_open_fds", "gauge", "", "Descriptors that are open.", append_descriptors },
    { "process_max_fds", "gauge", "", "Descriptors that may be open.", append_max_descriptors },
    { "process_start_time_seconds", "gauge", "", "When the process started, since the epoch.", append_started },
};

const struct metric_table metrics_of_process = { "The process", families, ARRAY_SIZE(families) };

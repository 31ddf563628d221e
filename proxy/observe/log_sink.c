#include "proxy/observe/log_sink.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"

#define TELL_EVERY_MS 10000

static const char *const transport_names[] = { [SYSLOG_UDP] = "udp", [SYSLOG_TCP] = "tcp", [SYSLOG_TLS] = "tls" };

static void describe(const struct access_log_sink_config *config, char *name, size_t size)
{
    char address[SOCKADDR_TEXT_SIZE];

    if (config->type == ACCESS_LOG_STDOUT)
        snprintf(name, size, "stdout");
    else if (config->type == ACCESS_LOG_FILE)
        snprintf(name, size, "file %s", config->path);
    else if (config->address.host)
        snprintf(name, size, "syslog %s %s:%u", transport_names[config->transport], config->address.host,
                 config->address.port);
    else
        snprintf(name, size, "syslog %s%s%s",
                 config->address.address.family == AF_UNIX ? "" : transport_names[config->transport],
                 config->address.address.family == AF_UNIX ? "" : " ",
                 sockaddr_format(&config->address.address.any, address));
}

int log_sink_init(struct log_sink *sink, const struct log_sink_ops *ops, const struct access_log_sink_config *config)
{
    char name[4200], key[9600];

    describe(config, name, sizeof name);
    snprintf(key, sizeof key, "%s\n%d\n%s\n%s\n%s\n%zu", name, (int)config->facility,
             config->app_name ? config->app_name : "", config->trust_bundle ? config->trust_bundle : "",
             config->server_name ? config->server_name : "", (size_t)config->buffer_bytes);
    sink->ops = ops;
    sink->type = (enum access_log_sink_type)config->type;
    sink->name = strdup(name);
    sink->key = strdup(key);
    log_queue_init(&sink->queue, config->buffer_bytes);
    return sink->name && sink->key ? 0 : -ENOMEM;
}

void log_sink_done(struct log_sink *sink)
{
    if (sink->is_failing)
        atomic_fetch_sub_explicit(&sink->means->failing, 1, memory_order_relaxed);
    log_queue_done(&sink->queue);
    free(sink->name);
    free(sink->key);
}

int log_sink_new(const struct access_log_sink_config *config, struct log_sink **ret_sink)
{
    return config->type == ACCESS_LOG_SYSLOG ? log_sink_syslog_new(config, ret_sink)
                                             : log_sink_file_new(config, ret_sink);
}

void log_sink_free(struct log_sink *sink)
{
    if (sink)
        sink->ops->free(sink);
}

void log_sink_begin(struct log_sink *sink, struct log_writer_means *means)
{
    sink->means = means;
}

void log_sink_add(struct log_sink *sink, const char *line, size_t length, bool is_abnormal)
{
    if (sink->ops->add(sink, line, length, is_abnormal))
        return;
    sink->ops->flush(sink);
    if (sink->ops->add(sink, line, length, is_abnormal))
        return;
    log_sink_dropped(sink, 1);
    log_sink_fails(sink, "it does not take what there is; lines are dropped");
}

void log_sink_fails(struct log_sink *sink, const char *what)
{
    unsigned long told_ms = sink->told_ms;

    if (!sink->is_failing)
        atomic_fetch_add_explicit(&sink->means->failing, 1, memory_order_relaxed);
    sink->is_failing = true;
    log_write_limited(LOG_WARNING, TELL_EVERY_MS, &sink->told_ms, "access log: %s: %s", sink->name, what);
    sink->was_told |= sink->told_ms != told_ms;
}

void log_sink_rests(struct log_sink *sink)
{
    if (sink->is_failing)
        atomic_fetch_sub_explicit(&sink->means->failing, 1, memory_order_relaxed);
    sink->is_failing = false;
}

void log_sink_works(struct log_sink *sink)
{
    log_sink_rests(sink);
    if (sink->was_told)
        log_info("access log: %s: takes lines again", sink->name);
    sink->was_told = false;
}

void log_sink_wrote(struct log_sink *sink, unsigned long lines)
{
    atomic_fetch_add_explicit(&sink->means->counts[sink->type].written, lines, memory_order_relaxed);
}

void log_sink_dropped(struct log_sink *sink, unsigned long lines)
{
    atomic_fetch_add_explicit(&sink->means->counts[sink->type].dropped, lines, memory_order_relaxed);
}

/*
 * Where lines of the access log go: one struct, an implementation for each kind (log_sink_file.c, log_sink_syslog.c).
 *
 * Owner: whoever made it, until the log writer has it. Thread: made by the main thread, then the log writer's.
 */
#pragma once

#include <event2/event_struct.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include "proxy/config/model.h"
#include "proxy/observe/log_queue.h"

struct dns_resolver;
struct log_sink;

/* What became of lines, by type of sink. Thread: any reads. */
struct log_counts {
    atomic_ulong written, dropped;
};

struct log_sink_ops {
    /* Puts a line, without its newline, into the queue as the sink wants it. False: there is no room. */
    bool (*add)(struct log_sink *sink, const char *line, size_t length, bool is_abnormal);
    void (*flush)(struct log_sink *sink);  /* hands on what it takes now; asks for an event for the rest */
    void (*reopen)(struct log_sink *sink); /* whoever rotates asks for it; may be NULL */
    void (*free)(struct log_sink *sink);   /* closes, gives everything back */
};

/* What the log writer has for its sinks. */
struct log_writer_means {
    struct event_base *base;
    struct dns_config dns;
    struct dns_resolver *resolver; /* NULL: there have been no names so far */
    atomic_uint failing;           /* sinks that take nothing now */
    struct log_counts counts[ACCESS_LOG_SYSLOG + 1];
};

struct log_sink {
    const struct log_sink_ops *ops;
    char *key;  /* its whole configuration: another with the same is the same */
    char *name; /* for people: `file /var/log/a`, `syslog tcp 10.0.0.1:514` */
    enum access_log_sink_type type;
    struct log_writer_means *means; /* NULL until log_sink_begin() */
    struct log_queue queue;
    bool is_failing, was_told; /* told: that it fails, and not yet that it works again */
    unsigned long told_ms;     /* when the log was last told that it fails */
};

/* Opens nothing yet. Returns 0, -ENOMEM, or another negative errno: that was logged. */
int log_sink_new(const struct access_log_sink_config *config, struct log_sink **ret_sink);
void log_sink_free(struct log_sink *sink);

/* In the log writer's thread from now on. `means` are borrowed. */
void log_sink_begin(struct log_sink *sink, struct log_writer_means *means);

void log_sink_add(struct log_sink *sink, const char *line, size_t length, bool is_abnormal);

/* For the implementations. `what` says what fails, once in a while; or that it takes lines (again). */
void log_sink_fails(struct log_sink *sink, const char *what);
void log_sink_works(struct log_sink *sink);
void log_sink_rests(struct log_sink *sink); /* there is nothing to take, so nothing fails */
void log_sink_wrote(struct log_sink *sink, unsigned long lines);
void log_sink_dropped(struct log_sink *sink, unsigned long lines);
int log_sink_init(struct log_sink *sink, const struct log_sink_ops *ops, const struct access_log_sink_config *config);
void log_sink_done(struct log_sink *sink);
int log_sink_file_new(const struct access_log_sink_config *config, struct log_sink **ret_sink);
int log_sink_syslog_new(const struct access_log_sink_config *config, struct log_sink **ret_sink);

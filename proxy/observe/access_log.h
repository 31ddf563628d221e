/*
 * The access log: workers put finished lines into rings of their own, one thread takes them out and gives them to the
 * sinks. A sink that takes nothing, and a reader that does not read, hold nobody up: then lines are dropped, and
 * counted.
 *
 * Owner: the process. Thread: what it says at each function.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proxy/config/model.h"

struct access_log;

/* What has become of lines so far. */
struct access_log_counts {
    uint64_t lines;                                                       /* that workers had */
    uint64_t dropped;                                                     /* since a worker's ring was full */
    uint64_t written[ACCESS_LOG_SYSLOG + 1], lost[ACCESS_LOG_SYSLOG + 1]; /* by type of sink */
    unsigned failing;                                                     /* sinks that take nothing now */
};

/* Starts no thread yet. Returns 0 or a negative errno. Main thread. */
int access_log_new(unsigned workers, struct access_log **ret_log);

/* `dns` is for sinks with names; copied. Returns 0 or a negative errno. Main thread, once. */
int access_log_start(struct access_log *log, const struct dns_config *dns);

/* Other sinks, soon; those that are the same stay. Returns 0, or -ENOMEM and nothing has changed. Main thread. */
int access_log_configure(struct access_log *log, const struct access_log_config *config);

/* Files are opened again, soon. Main thread. */
void access_log_reopen(struct access_log *log);

/* After all workers have ended: what is there is handed on, for at most a second. Takes NULL. Main thread. */
void access_log_free(struct access_log *log);

/* A line with its newline. Thread: that worker's. */
void access_log_write(struct access_log *log, unsigned worker, const char *line, size_t length, bool is_abnormal);

/* Any thread. */
void access_log_count(const struct access_log *log, struct access_log_counts *ret_counts);

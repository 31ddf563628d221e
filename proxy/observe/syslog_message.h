/*
 * Syslog messages (RFC 5424) in a queue, each behind its length as octet counting has it (RFC 6587, 3.4.1). Datagrams
 * leave the length out.
 *
 * Thread: the log writer's.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "proxy/observe/log_queue.h"

#define SYSLOG_HOST_SIZE 256

/* HOSTNAME: printable ASCII, or `-` (RFC 5424, 6). */
void syslog_find_own_host(char host[SYSLOG_HOST_SIZE]);

/* Appends one with `line` as its text; false when there is no room. The severity is warning or info. */
bool syslog_message_add(struct log_queue *queue, unsigned facility, const char *host, const char *app_name,
                        const char *line, size_t length, bool is_abnormal);

/* The first message of a queue that is not empty: its length with the count in front of it, which is *ret_head long. */
size_t syslog_message_first(const struct log_queue *queue, size_t *ret_head);

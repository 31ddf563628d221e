/* The head of an HTTP/1.1 request (RFC 9112). Pure. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define HTTP_MOST_HEAD_BYTES 8192
#define HTTP_MOST_BODY_BYTES (64 * 1024) /* where nothing else is said */

struct http_head {
    const char *method;
    const char *path;         /* without its query */
    const char *query;        /* behind the `?`, or "" */
    const char *host;         /* the header, or "" */
    const char *content_type; /* the same */
    uint64_t body_length;
    bool has_length; /* it was given */
    bool keep_alive;
    bool wants_text; /* Accept: text/plain */
};

/*
 * Cuts `text`, a terminated head up to and with its empty line, into its parts; `ret_head` points into it.
 * most_body_bytes  what a body may have
 * Returns 0, or the status to refuse the request with: 400, 413, 501.
 */
int http_parse_head(char *text, uint64_t most_body_bytes, struct http_head *ret_head);

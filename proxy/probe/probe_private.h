/* What a probe's files have in common; for them alone. */
#pragma once

#include <event2/bufferevent.h>
#include <event2/event_struct.h>
#include <stdbool.h>

#include "base/macros.h"
#include "proxy/probe/location.h"
#include "proxy/probe/probe.h"

#define PROBE_MOST_ANSWER (16 * 1024) /* bytes that are looked at */

struct nghttp2_session;

/* How a protocol goes on. Each may end the probe. */
struct probe_protocol {
    void (*begin)(struct probe *probe);    /* the stream is there */
    void (*received)(struct probe *probe); /* it has more bytes */
    void (*done)(struct probe *probe);     /* releases what begin() made; NULL: nothing */
};

struct probe {
    struct probe_question own;
    const struct probe_protocol *protocol;
    struct event_base *base;
    struct event timer, connecting;
    int fd;    /* while it connects */
    int error; /* of a connection that failed at once */
    struct bufferevent *stream;
    probe_done *done;
    void *owner;
    char authority[SOCKADDR_TEXT_SIZE]; /* of the app's address */
    const char *host;                   /* what the configuration says instead; NULL: nothing */
    struct {
        struct location location; /* where it asks; of other protocols not TLS, and no more */
        char redirect[PROBE_MOST_ANSWER + 1];
        int status; /* 0: not known yet */
        unsigned redirects;
    } http;
    struct {
        struct nghttp2_session *session;
        unsigned char request[264], answer[64];
        size_t request_length, sent, answer_length;
        int http_status, grpc_status; /* -1: not known */
        bool is_closed;
    } grpc;
};

extern const struct probe_protocol probe_http;
extern const struct probe_protocol probe_grpc;

/* Ends the probe: calls `done`, and releases everything. */
void probe_finish(struct probe *probe, int status, const char *format, ...) PRINTF_LIKE(3, 4);

/* Another connection to the app's address. */
void probe_connect(struct probe *probe);

/*
 * A small HTTP/1.1 server for control, health and metrics: everything about it is bounded (clients, time, head, body),
 * and a client can do nothing but get an answer or be closed. Not on the data path.
 *
 * Thread: the one that runs `base`.
 */
#pragma once

#include <event2/event.h>
#include <openssl/types.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/strbuf.h"

#define HTTP_MOST_ANSWER_BYTES (64 * 1024 * 1024)
#define HTTP_MOST_CLIENTS      64 /* of one server; then whoever has the most loses one that it can do without */
#define HTTP_IDLE_S            10 /* a request must arrive, and its answer leave, within this */

struct http_client;

struct http_request {
    const char *method;
    const char *path;         /* without its query */
    const char *query;        /* what is behind its `?`, or "" */
    const char *host;         /* the header, or "" */
    const char *content_type; /* the same */
    const char *name;         /* what is behind the path of a command that takes one; NULL: nothing */
    const char *body;         /* terminated; may hold other NULs */
    size_t body_length;
    bool wants_text; /* Accept: text/plain */
    bool has_peer;   /* it came over a unix socket; then peer_uid is whose (SO_PEERCRED) */
    uid_t peer_uid;
    uint64_t client;          /* which connection it came over: no two have the same number */
    struct http_client *from; /* the server's own; for http_defer() */
    int fd;                   /* the client's connection, for http_pass_descriptors() alone; -1: none */
};

struct http_response {
    int status;
    const char *content_type; /* static; text/plain at first */
    const char *headers;      /* static; further lines, each with its end; NULL: none */
    struct strbuf body;
};

#define HTTP_RESPONSE_INIT                                         \
    {                                                              \
        .status = 200, .content_type = "text/plain; charset=utf-8" \
    } /* but for its body */

/* Answers `request` by filling in `response`, or defers the answer. Must not keep either. */
typedef void (*http_handler)(void *owner, const struct http_request *request, struct http_response *response);

#define HTTP_MOST_DESCRIPTORS 250 /* in one message (the kernel's SCM_MAX_FD is 253) */

/* While a request is being answered: whether its client has closed the connection meanwhile. */
bool http_client_is_gone(const struct http_request *request);

/*
 * While a request is being answered: sends open descriptors ahead of the answer, with interim responses (103), which
 * HTTP clients skip. A unix socket's client receives them as SCM_RIGHTS. Returns 0 or a negative errno.
 */
int http_pass_descriptors(const struct http_request *request, const int *fds, size_t count);

/*
 * While a request is being answered: its answer comes later, within longest_ms, and what the handler leaves in its
 * response is dropped. Either one http_answer() follows, after the handler has returned, or `on_gone` is called: the
 * client has closed its side, lost its place, or the server is freed. Both end what is returned. NULL without memory;
 * then the answer is the handler's response.
 */
struct http_pending *http_defer(const struct http_request *request, unsigned longest_ms, void (*on_gone)(void *owner),
                                void *owner);

/* Sends the answer, and ends `pending`. The body stays the caller's. */
void http_answer(struct http_pending *pending, struct http_response *response);

struct http_server;

/* What differs from what the control API needs; all zero: nothing. */
struct http_server_settings {
    size_t most_body_bytes; /* of a request; 0: HTTP_MOST_BODY_BYTES */
    size_t most_bytes;      /* of all bodies that are under way; 0: no further limit */
    unsigned most_clients;  /* 0: HTTP_MOST_CLIENTS */
    unsigned idle_s;        /* how long a client may stay between its requests; 0: HTTP_IDLE_S */

    /* Asked for each connection, which speaks TLS with what it returns, or is closed where that is NULL. NULL:
     * plaintext. */
    SSL_CTX *(*tls)(void *owner);
};

/* Returns 0 or -ENOMEM. ret_server: release with http_server_free(). */
int http_server_new(struct event_base *base, http_handler handler, void *owner, struct http_server **ret_server);
void http_server_free(struct http_server *server);

/* Before it listens. `settings` is copied. */
void http_server_configure(struct http_server *server, const struct http_server_settings *settings);

/* Closes its listening sockets, and clients that wait for nothing; others get their answer and are closed. */
void http_server_finish(struct http_server *server);
unsigned http_server_clients(const struct http_server *server);

/* Closes its listening sockets; clients that there are go on. */
void http_server_stop_listening(struct http_server *server);

/* Serves on the listening socket `fd` too, which the server owns from now on, even on error. Returns 0 or -ENOMEM. */
int http_server_listen(struct http_server *server, int fd);

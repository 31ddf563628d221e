/* What the files of the HTTP server have in common; for them alone. */
#pragma once

#include <event2/listener.h>

#include "base/list.h"
#include "control/http_server.h"

#define HTTP_MOST_LISTENERS 4

struct http_client {
    struct list_node in_server;
    struct http_server *server;
    struct bufferevent *stream;
    struct event *deadline; /* for the whole of a request and its answer: a byte now and then does not extend it */
    struct http_pending *pending; /* the answer to its request comes later; see http_defer() */
    size_t body_bytes;            /* of the body that is under way, which it has room for */
    bool is_idle;                 /* its last answer has left, and nothing has come since */
    bool keep_alive;              /* of the request that is being answered */
    bool lingers;                 /* what it still sends is dropped until it has read why */
    bool closing;                 /* the last answer is on its way */
    uint64_t number;              /* see http_request.client */
    uint64_t peer;                /* who: the uid on a unix socket, else a number of its address */
    uint64_t since_ms;            /* when it was accepted */
};

/* An answer that comes later; whoever deferred it owns it. */
struct http_pending {
    struct http_client *client;
    void (*on_gone)(void *owner);
    void *owner;
};

struct http_server {
    struct event_base *base;
    struct http_server_settings settings;
    http_handler handler;
    void *owner;
    struct evconnlistener *listeners[HTTP_MOST_LISTENERS];
    unsigned listener_count;
    struct list_node clients; /* longest without an answer first */
    unsigned client_count;
    size_t body_bytes; /* of bodies that are under way */
    uint64_t last_number;
    struct event *resume; /* while accepting pauses */
    bool is_paused;
    bool is_finishing;
};

/* Ends the client, and what waits for it. */
void http_client_free(struct http_client *client);

/* Who it is: a uid, or a number of its address. Two may be taken for one, and then share what one may have. */
uint64_t http_places_peer(int fd, const struct sockaddr *address);

/* One place is always free; while none can be made so, whoever comes waits to be accepted. */
void http_places_make_room(struct http_server *server);
void http_places_resume(struct http_server *server);

#include "control/http_server.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/listener.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/list.h"
#include "base/macros.h"
#include "control/http_parse.h"

#define MOST_LISTENERS 4
#define TIME_TO_ASK_MS 100

struct client {
    struct list_node in_server;
    struct http_server *server;
    struct bufferevent *stream;
    struct event *deadline; /* for the whole of a request and its answer: a byte now and then does not extend it */
    bool closing;           /* the last answer is on its way */
    uint64_t number;        /* see http_request.client */
    uint64_t peer;          /* who: the uid on a unix socket, else a number of its address */
    uint64_t since_ms;      /* when it was accepted */
};

struct http_server {
    struct event_base *base;
    http_handler handler;
    void *owner;
    struct evconnlistener *listeners[MOST_LISTENERS];
    unsigned listener_count;
    struct list_node clients; /* longest without an answer first */
    unsigned client_count;
    uint64_t last_number;
    struct event *resume; /* while accepting pauses */
    bool is_paused;
};

static const char *status_text(int status)
{
    switch (status) {
    case 200:
        return "OK";
    case 202:
        return "Accepted";
    case 400:
        return "Bad Request";
    case 403:
        return "Forbidden";
    case 404:
        return "Not Found";
    case 405:
        return "Method Not Allowed";
    case 409:
        return "Conflict";
    case 413:
        return "Content Too Large";
    case 431:
        return "Request Header Fields Too Large";
    case 501:
        return "Not Implemented";
    case 503:
        return "Service Unavailable";
    default:
        return "Internal Server Error";
    }
}

static void resume_accepting(struct http_server *server)
{
    server->is_paused = false;
    event_del(server->resume);
    for (unsigned i = 0; i < server->listener_count; i++)
        evconnlistener_enable(server->listeners[i]);
}

static void free_client(struct client *client)
{
    struct http_server *server = client->server;

    list_remove(&client->in_server);
    server->client_count--;
    if (server->is_paused)
        resume_accepting(server);
    event_free(client->deadline);
    bufferevent_free(client->stream);
    free(client);
}

static void on_deadline(evutil_socket_t fd, short what, void *argument)
{
    (void)fd;
    (void)what;
    free_client(argument);
}

static void arm_deadline(struct client *client)
{
    const struct timeval time = { .tv_sec = HTTP_IDLE_S };

    event_add(client->deadline, &time);
}

static void send_answer(struct client *client, int status, const char *content_type, const char *headers,
                        const char *body, size_t length, bool keep_alive)
{
    struct evbuffer *output = bufferevent_get_output(client->stream);

    evbuffer_add_printf(
        output, "HTTP/1.1 %d %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\nCache-Control: no-store\r\n%s%s\r\n",
        status, status_text(status), content_type, length, headers ? headers : "",
        keep_alive ? "" : "Connection: close\r\n");
    evbuffer_add(output, body, length);
    if (!keep_alive) {
        client->closing = true;
        bufferevent_disable(client->stream, EV_READ);
    }
}

static void refuse(struct client *client, int status, const char *problem)
{
    send_answer(client, status, "text/plain; charset=utf-8", NULL, problem, strlen(problem), false);
}

static void answer(struct client *client, const struct http_head *head, const char *body)
{
    struct http_request request = { .method = head->method,
                                    .path = head->path,
                                    .query = head->query,
                                    .host = head->host,
                                    .wants_text = head->wants_text,
                                    .body = body,
                                    .body_length = (size_t)head->body_length,
                                    .client = client->number,
                                    .fd = bufferevent_getfd(client->stream) };
    struct http_response response = { .status = 200, .content_type = "text/plain; charset=utf-8" };
    struct ucred peer;
    socklen_t length = sizeof peer;
    struct sockaddr_storage local;
    socklen_t local_length = sizeof local;
    int fd = bufferevent_getfd(client->stream);

    if (getsockname(fd, (struct sockaddr *)&local, &local_length) == 0 && local.ss_family == AF_UNIX &&
        getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) == 0) {
        request.has_peer = true;
        request.peer_uid = peer.uid;
    }
    strbuf_init(&response.body, HTTP_MOST_ANSWER_BYTES);
    client->server->handler(client->server->owner, &request, &response);
    if (strbuf_failed(&response.body))
        refuse(client, 500, "the answer is too large\n");
    else
        send_answer(client, response.status, response.content_type, response.headers, response.body.text,
                    response.body.length, head->keep_alive);
    strbuf_done(&response.body);
}

/* Takes one whole request off the input and answers it. Returns false when there is none, or nothing may follow. */
static bool take_request(struct client *client)
{
    struct evbuffer *input = bufferevent_get_input(client->stream);
    struct evbuffer_ptr end = evbuffer_search(input, "\r\n\r\n", 4, NULL);
    char text[HTTP_MOST_HEAD_BYTES + 1], *body;
    struct http_head head;
    size_t head_length;
    int status;

    if (end.pos < 0 || end.pos + 4 > HTTP_MOST_HEAD_BYTES) {
        if (evbuffer_get_length(input) >= HTTP_MOST_HEAD_BYTES)
            refuse(client, 431, "the head of a request has at most 8 KiB\n");
        return false;
    }
    head_length = (size_t)end.pos + 4;
    evbuffer_copyout(input, text, head_length);
    text[head_length] = '\0';
    status = strlen(text) == head_length ? http_parse_head(text, &head) : 400;
    if (status != 0) {
        refuse(client, status,
               status == 413 ? "the body of a request has at most 64 KiB\n" : "this request is not understood\n");
        return false;
    }
    if (evbuffer_get_length(input) < head_length + head.body_length)
        return false;
    evbuffer_drain(input, head_length);
    body = calloc(1, (size_t)head.body_length + 1);
    if (!body) {
        refuse(client, 500, "out of memory\n");
        return false;
    }
    evbuffer_remove(input, body, (size_t)head.body_length);
    answer(client, &head, body);
    free(body);
    return !client->closing;
}

static void on_readable(struct bufferevent *stream, void *argument)
{
    struct client *client = argument;

    (void)stream;
    if (!client->closing && take_request(client) && evbuffer_get_length(bufferevent_get_input(stream)) > 0)
        bufferevent_disable(stream, EV_READ); /* pipelined: the next one once this answer has left */
}

static void on_written(struct bufferevent *stream, void *argument)
{
    struct client *client = argument;

    if (client->closing) {
        free_client(client);
        return;
    }
    arm_deadline(client);
    list_remove(&client->in_server);
    list_append(&client->server->clients, &client->in_server);
    bufferevent_enable(stream, EV_READ);
    if (evbuffer_get_length(bufferevent_get_input(stream)) > 0)
        on_readable(stream, client);
}

static void on_stream_event(struct bufferevent *stream, short what, void *argument)
{
    (void)stream;
    (void)what; /* its end, or an error */
    free_client(argument);
}

/* Who it is: a uid, or an address. Two may be taken for one, and then share what one may have. */
static uint64_t peer_of(int fd, const struct sockaddr *address)
{
    struct ucred peer;
    socklen_t length = sizeof peer;
    uint64_t halves[2];

    switch (address->sa_family) {
    case AF_INET:
        return ((const struct sockaddr_in *)(const void *)address)->sin_addr.s_addr;
    case AF_INET6:
        memcpy(halves, &((const struct sockaddr_in6 *)(const void *)address)->sin6_addr, sizeof halves);
        return halves[0] ^ halves[1];
    default:
        return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) == 0 ? peer.uid : 0;
    }
}

static unsigned count_of_peer(const struct http_server *server, uint64_t peer)
{
    unsigned count = 0;

    for (struct list_node *node = server->clients.next; node != &server->clients; node = node->next)
        count += CONTAINER_OF(node, struct client, in_server)->peer == peer;
    return count;
}

/*
 * Whose place another client gets: of whoever has the most clients the one that has waited longest. So nobody can keep
 * others out, and a client that was accepted just now has the time to ask. NULL: none has had it.
 */
static struct client *find_victim(const struct http_server *server)
{
    uint64_t now_ms = clock_now_ms();
    struct client *victim = NULL;
    unsigned most = 0;

    for (struct list_node *node = server->clients.next; node != &server->clients; node = node->next) {
        struct client *client = CONTAINER_OF(node, struct client, in_server);
        unsigned count = now_ms - client->since_ms >= TIME_TO_ASK_MS ? count_of_peer(server, client->peer) : 0;

        if (count > most) {
            most = count;
            victim = client;
        }
    }
    return victim;
}

/* One place is always free; while none can be made so, whoever comes waits to be accepted. */
static void make_room(struct http_server *server)
{
    const struct timeval soon = { .tv_usec = TIME_TO_ASK_MS * 1000 / 4 };

    while (server->client_count >= HTTP_MOST_CLIENTS) {
        struct client *victim = find_victim(server);

        if (!victim)
            break;
        free_client(victim);
    }
    if (server->client_count < HTTP_MOST_CLIENTS || server->is_paused)
        return;
    server->is_paused = true;
    for (unsigned i = 0; i < server->listener_count; i++)
        evconnlistener_disable(server->listeners[i]);
    event_add(server->resume, &soon);
}

static void on_resume(evutil_socket_t fd, short what, void *argument)
{
    struct http_server *server = argument;

    (void)fd;
    (void)what;
    server->is_paused = false;
    make_room(server);
    if (!server->is_paused)
        resume_accepting(server);
}

static void on_accept(struct evconnlistener *listener, evutil_socket_t fd, struct sockaddr *address, int length,
                      void *argument)
{
    struct http_server *server = argument;
    struct client *client = calloc(1, sizeof *client);

    (void)listener;
    (void)length;
    if (client)
        client->stream = bufferevent_socket_new(server->base, fd, BEV_OPT_CLOSE_ON_FREE);
    if (client && client->stream)
        client->deadline = evtimer_new(server->base, on_deadline, client);
    if (!client || !client->deadline) {
        if (client && client->stream)
            bufferevent_free(client->stream); /* and with it fd */
        else
            close(fd);
        free(client);
        return;
    }
    client->server = server;
    client->number = ++server->last_number;
    client->peer = peer_of(fd, address);
    client->since_ms = clock_now_ms();
    list_append(&server->clients, &client->in_server);
    server->client_count++;
    bufferevent_setcb(client->stream, on_readable, on_written, on_stream_event, client);
    arm_deadline(client);
    bufferevent_enable(client->stream, EV_READ | EV_WRITE);
    make_room(server);
}

/* Without a descriptor left, accepting again at once would spin; the next client, or the next second, tries again. */
static void on_accept_error(struct evconnlistener *listener, void *argument)
{
    const struct timespec pause = { .tv_nsec = 1000000 };

    (void)listener;
    (void)argument;
    nanosleep(&pause, NULL);
}

int http_server_new(struct event_base *base, http_handler handler, void *owner, struct http_server **ret_server)
{
    struct http_server *server = calloc(1, sizeof *server);

    if (!server)
        return -ENOMEM;
    server->base = base;
    server->handler = handler;
    server->owner = owner;
    list_init(&server->clients);
    server->resume = evtimer_new(base, on_resume, server);
    if (!server->resume) {
        free(server);
        return -ENOMEM;
    }
    *ret_server = server;
    return 0;
}

int http_server_listen(struct http_server *server, int fd)
{
    struct evconnlistener *listener = NULL;

    if (server->listener_count < MOST_LISTENERS)
        listener = evconnlistener_new(server->base, on_accept, server, LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, 0,
                                      fd);
    if (!listener) {
        close(fd);
        return -ENOMEM;
    }
    evconnlistener_set_error_cb(listener, on_accept_error);
    server->listeners[server->listener_count++] = listener;
    return 0;
}

void http_server_stop_listening(struct http_server *server)
{
    while (server->listener_count > 0)
        evconnlistener_free(server->listeners[--server->listener_count]);
}

void http_server_free(struct http_server *server)
{
    if (!server)
        return;
    while (!list_is_empty(&server->clients))
        free_client(CONTAINER_OF(server->clients.next, struct client, in_server));
    http_server_stop_listening(server);
    event_free(server->resume);
    free(server);
}

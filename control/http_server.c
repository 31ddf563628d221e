#include "control/http_server.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/bufferevent_ssl.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/macros.h"
#include "control/http_parse.h"
#include "control/http_private.h"
#include "control/http_status.h"

static void release_body(struct http_client *client)
{
    client->server->body_bytes -= client->body_bytes;
    client->body_bytes = 0;
}

/* Whether there is room for a body that is under way. */
static bool reserve_body(struct http_client *client, size_t bytes)
{
    struct http_server *server = client->server;

    if (client->body_bytes == bytes)
        return true;
    if (server->settings.most_bytes > 0 && server->body_bytes + bytes > server->settings.most_bytes)
        return false;
    client->body_bytes = bytes;
    server->body_bytes += bytes;
    return true;
}

void http_client_free(struct http_client *client)
{
    struct http_server *server = client->server;

    if (client->pending) {
        client->pending->on_gone(client->pending->owner);
        free(client->pending);
    }
    release_body(client);
    list_remove(&client->in_server);
    server->client_count--;
    if (server->is_paused)
        http_places_resume(server);
    event_free(client->deadline);
    bufferevent_free(client->stream);
    free(client);
}

static void on_deadline(evutil_socket_t fd, short what, void *argument)
{
    (void)fd;
    (void)what;
    http_client_free(argument);
}

static void arm_deadline(struct http_client *client, unsigned seconds)
{
    const struct timeval time = { .tv_sec = (time_t)seconds };

    event_add(client->deadline, &time);
}

static void send_answer(struct http_client *client, int status, const char *content_type, const char *headers,
                        const char *body, size_t length, bool keep_alive)
{
    struct evbuffer *output = bufferevent_get_output(client->stream);

    evbuffer_add_printf(
        output, "HTTP/1.1 %d %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\nCache-Control: no-store\r\n%s%s\r\n",
        status, http_status_text(status), content_type, length, headers ? headers : "",
        keep_alive ? "" : "Connection: close\r\n");
    evbuffer_add(output, body, length);
    if (!keep_alive) {
        client->closing = true;
        bufferevent_disable(client->stream, EV_READ);
    }
}

static void refuse(struct http_client *client, int status, const char *problem)
{
    send_answer(client, status, "text/plain; charset=utf-8", NULL, problem, strlen(problem), false);
}

static void send_response(struct http_client *client, struct http_response *response)
{
    if (strbuf_failed(&response->body))
        refuse(client, 500, "the answer is too large\n");
    else
        send_answer(client, response->status, response->content_type, response->headers, response->body.text,
                    response->body.length, client->keep_alive);
}

static void answer(struct http_client *client, const struct http_head *head, const char *body)
{
    struct http_request request = { .method = head->method,
                                    .path = head->path,
                                    .query = head->query,
                                    .host = head->host,
                                    .content_type = head->content_type,
                                    .wants_text = head->wants_text,
                                    .body = body,
                                    .body_length = (size_t)head->body_length,
                                    .client = client->number,
                                    .from = client,
                                    .fd = bufferevent_getfd(client->stream) };
    struct http_response response = HTTP_RESPONSE_INIT;
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
    client->keep_alive = head->keep_alive && !client->server->is_finishing;
    strbuf_init(&response.body, HTTP_MOST_ANSWER_BYTES);
    client->server->handler(client->server->owner, &request, &response);
    if (!client->pending)
        send_response(client, &response);
    strbuf_done(&response.body);
}

struct http_pending *http_defer(const struct http_request *request, unsigned longest_ms, void (*on_gone)(void *owner),
                                void *owner)
{
    struct http_pending *pending = calloc(1, sizeof *pending);

    if (!pending)
        return NULL;
    *pending = (struct http_pending){ request->from, on_gone, owner };
    request->from->pending = pending;
    arm_deadline(request->from, HTTP_IDLE_S + longest_ms / 1000);
    return pending;
}

void http_answer(struct http_pending *pending, struct http_response *response)
{
    struct http_client *client = pending->client;

    free(pending);
    client->pending = NULL;
    send_response(client, response);
    bufferevent_disable(client->stream, EV_READ);
}

static void refuse_request(struct http_client *client, int status)
{
    client->lingers = status == 413 || status == 503; /* its body is under way */
    refuse(client, status,
           status == 413   ? "the body of the request is too large\n"
           : status == 503 ? "too much is under way\n"
                           : "this request is not understood\n");
}

/* Takes one whole request off the input and answers it, or refuses it. Does nothing before it is there. */
static void take_request(struct http_client *client)
{
    const struct http_server *server = client->server;
    struct evbuffer *input = bufferevent_get_input(client->stream);
    struct evbuffer_ptr end = evbuffer_search(input, "\r\n\r\n", 4, NULL);
    char text[HTTP_MOST_HEAD_BYTES + 1], *body;
    struct http_head head;
    size_t head_length;
    int status;

    if (end.pos < 0 || end.pos + 4 > HTTP_MOST_HEAD_BYTES) {
        if (evbuffer_get_length(input) >= HTTP_MOST_HEAD_BYTES)
            refuse(client, 431, "the head of a request has at most 8 KiB\n");
        return;
    }
    head_length = (size_t)end.pos + 4;
    evbuffer_copyout(input, text, head_length);
    text[head_length] = '\0';
    status = strlen(text) == head_length ? http_parse_head(text, server->settings.most_body_bytes, &head) : 400;
    if (status == 0 && !reserve_body(client, (size_t)head.body_length))
        status = 503;
    if (status != 0) {
        refuse_request(client, status);
        return;
    }
    if (evbuffer_get_length(input) < head_length + head.body_length)
        return;
    evbuffer_drain(input, head_length);
    body = calloc(1, (size_t)head.body_length + 1);
    if (!body) {
        refuse(client, 500, "out of memory\n");
        return;
    }
    evbuffer_remove(input, body, (size_t)head.body_length);
    answer(client, &head, body);
    free(body);
    release_body(client);
}

/* Nothing further is taken before an answer has left; reading goes on meanwhile only to hear of the client's end. */
static void on_readable(struct bufferevent *stream, void *argument)
{
    struct http_client *client = argument;

    if (client->closing && client->lingers)
        evbuffer_drain(bufferevent_get_input(stream), SIZE_MAX);
    if (client->closing || client->pending)
        return;
    if (client->is_idle)
        arm_deadline(client, HTTP_IDLE_S);
    client->is_idle = false;
    take_request(client);
    if (evbuffer_get_length(bufferevent_get_output(stream)) > 0)
        bufferevent_disable(stream, EV_READ);
}

static void on_written(struct bufferevent *stream, void *argument)
{
    struct http_client *client = argument;

    if (client->closing && client->lingers) {
        on_readable(stream, client);
        bufferevent_enable(stream, EV_READ);
        return;
    }
    if (client->closing) {
        http_client_free(client);
        return;
    }
    if (client->pending) /* it was an earlier answer */
        return;
    client->is_idle = true;
    arm_deadline(client, client->server->settings.idle_s);
    list_remove(&client->in_server);
    list_append(&client->server->clients, &client->in_server);
    bufferevent_enable(stream, EV_READ);
    if (evbuffer_get_length(bufferevent_get_input(stream)) > 0)
        on_readable(stream, client);
}

static void on_stream_event(struct bufferevent *stream, short what, void *argument)
{
    (void)stream;
    if (!(what & BEV_EVENT_CONNECTED)) /* its end, or an error */
        http_client_free(argument);
}

static void on_resume(evutil_socket_t fd, short what, void *argument)
{
    struct http_server *server = argument;

    (void)fd;
    (void)what;
    server->is_paused = false;
    http_places_make_room(server);
    if (!server->is_paused)
        http_places_resume(server);
}

/* It owns `fd` once it is there. NULL without memory, or what TLS needs. */
static struct bufferevent *open_stream(struct http_server *server, int fd)
{
    struct bufferevent *stream = NULL;
    SSL_CTX *tls;
    SSL *ssl;

    if (!server->settings.tls)
        return bufferevent_socket_new(server->base, fd, BEV_OPT_CLOSE_ON_FREE);
    tls = server->settings.tls(server->owner);
    ssl = tls ? SSL_new(tls) : NULL;
    if (ssl)
        stream = bufferevent_openssl_socket_new(server->base, fd, ssl, BUFFEREVENT_SSL_ACCEPTING,
                                                BEV_OPT_CLOSE_ON_FREE);
    if (stream)
        bufferevent_openssl_set_allow_dirty_shutdown(stream, 1);
    else
        SSL_free(ssl);
    return stream;
}

static void on_accept(struct evconnlistener *listener, evutil_socket_t fd, struct sockaddr *address, int length,
                      void *argument)
{
    struct http_server *server = argument;
    struct http_client *client = calloc(1, sizeof *client);

    (void)listener;
    (void)length;
    if (client)
        client->stream = open_stream(server, fd);
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
    client->peer = http_places_peer(fd, address);
    client->since_ms = clock_now_ms();
    list_append(&server->clients, &client->in_server);
    server->client_count++;
    bufferevent_setcb(client->stream, on_readable, on_written, on_stream_event, client);
    bufferevent_setwatermark(client->stream, EV_READ, 0, HTTP_MOST_HEAD_BYTES + server->settings.most_body_bytes);
    arm_deadline(client, HTTP_IDLE_S);
    bufferevent_enable(client->stream, EV_READ | EV_WRITE);
    http_places_make_room(server);
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
    server->settings = (struct http_server_settings){ .most_body_bytes = HTTP_MOST_BODY_BYTES,
                                                      .most_clients = HTTP_MOST_CLIENTS,
                                                      .idle_s = HTTP_IDLE_S };
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

    if (server->listener_count < HTTP_MOST_LISTENERS)
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

void http_server_configure(struct http_server *server, const struct http_server_settings *settings)
{
    server->settings = *settings;
    if (settings->most_body_bytes == 0)
        server->settings.most_body_bytes = HTTP_MOST_BODY_BYTES;
    if (settings->most_clients == 0)
        server->settings.most_clients = HTTP_MOST_CLIENTS;
    if (settings->idle_s == 0)
        server->settings.idle_s = HTTP_IDLE_S;
}

void http_server_finish(struct http_server *server)
{
    struct list_node *node = server->clients.next;

    http_server_stop_listening(server);
    server->is_finishing = true;
    while (node != &server->clients) {
        struct http_client *client = CONTAINER_OF(node, struct http_client, in_server);

        node = node->next;
        if (client->is_idle && evbuffer_get_length(bufferevent_get_input(client->stream)) == 0)
            http_client_free(client);
    }
}

unsigned http_server_clients(const struct http_server *server)
{
    return server->client_count;
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
        http_client_free(CONTAINER_OF(server->clients.next, struct http_client, in_server));
    http_server_stop_listening(server);
    event_free(server->resume);
    free(server);
}

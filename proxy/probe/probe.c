#include "proxy/probe/probe.h"

#include <arpa/inet.h>
#include <errno.h>
#include <event2/bufferevent_ssl.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/units.h"
#include "proxy/net/dialer.h"
#include "proxy/probe/probe_private.h"

static void close_stream(struct probe *probe)
{
    if (probe->protocol && probe->protocol->done)
        probe->protocol->done(probe);
    if (probe->stream)
        bufferevent_free(probe->stream);
    probe->stream = NULL;
    event_del(&probe->connecting);
    if (probe->fd >= 0)
        close(probe->fd);
    probe->fd = -1;
}

void probe_cancel(struct probe *probe)
{
    if (!probe)
        return;
    close_stream(probe);
    evtimer_del(&probe->timer);
    free(probe);
}

void probe_finish(struct probe *probe, int status, const char *format, ...)
{
    probe_done *done = probe->done;
    void *owner = probe->owner;
    char words[256];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(words, sizeof words, format, arguments);
    va_end(arguments);
    probe_cancel(probe);
    done(owner, status, words);
}

static void on_timeout(evutil_socket_t fd, short what, void *argument)
{
    struct probe *probe = argument;
    char timeout[UNITS_TEXT_SIZE];

    (void)fd;
    (void)what;
    units_format_duration(probe->own.config->timeout_ms, timeout);
    probe_finish(probe, 503, "no answer within %s", timeout);
}

static void on_readable(struct bufferevent *stream, void *argument)
{
    struct probe *probe = argument;

    (void)stream;
    probe->protocol->received(probe);
}

static void on_stream_event(struct bufferevent *stream, short what, void *argument)
{
    struct probe *probe = argument;
    int error = EVUTIL_SOCKET_ERROR();
    unsigned long tls_error = probe->http.location.is_tls ? bufferevent_get_openssl_error(stream) : 0;

    if (what & BEV_EVENT_CONNECTED)
        probe->protocol->begin(probe);
    else if (what & BEV_EVENT_EOF)
        probe_finish(probe, 503, "the app closed the connection without an answer");
    else if (tls_error)
        probe_finish(probe, 503, "TLS: %s", ERR_reason_error_string(tls_error));
    else
        probe_finish(probe, 503, "%s", strerror(error));
}

/* The name for SNI; NULL for an address (RFC 6066, 3). */
static const char *server_name(const char *host, char name[256])
{
    unsigned char address[sizeof(struct in6_addr)];

    if (!host || host[0] == '[')
        return NULL;
    snprintf(name, 256, "%.*s", (int)strcspn(host, ":"), host);
    return name[0] == '\0' || inet_pton(AF_INET, name, address) == 1 ? NULL : name;
}

/* The app's certificate is nobody's to judge here: the kubelet does not, either. NULL without memory. */
static SSL_CTX *tls_of(const struct probe *probe)
{
    SSL_CTX **context = probe->own.tls;

    if (!*context && (*context = SSL_CTX_new(TLS_client_method())))
        SSL_CTX_set_verify(*context, SSL_VERIFY_NONE, NULL);
    return *context;
}

/* Through TLS the bufferevent tells when the handshake is done; both own the descriptor afterwards. */
static struct bufferevent *open_stream(struct probe *probe)
{
    struct bufferevent *stream = NULL;
    char name[256];
    SSL *ssl;

    if (!probe->http.location.is_tls)
        return bufferevent_socket_new(probe->base, probe->fd, BEV_OPT_CLOSE_ON_FREE);
    ssl = tls_of(probe) ? SSL_new(tls_of(probe)) : NULL;
    if (ssl && server_name(probe->host, name))
        SSL_set_tlsext_host_name(ssl, name);
    if (ssl)
        stream = bufferevent_openssl_socket_new(probe->base, probe->fd, ssl, BUFFEREVENT_SSL_CONNECTING,
                                                BEV_OPT_CLOSE_ON_FREE);
    if (stream)
        bufferevent_openssl_set_allow_dirty_shutdown(stream, 1);
    else
        SSL_free(ssl);
    return stream;
}

static void on_connected(evutil_socket_t fd, short what, void *argument)
{
    struct probe *probe = argument;
    int r = probe->error ? probe->error : dialer_result(probe->fd);

    (void)fd;
    (void)what;
    if (r < 0) {
        probe_finish(probe, 503, "%s", strerror(-r));
        return;
    }
    if (!probe->protocol) {
        probe_finish(probe, 200, "ok");
        return;
    }
    probe->stream = open_stream(probe);
    if (!probe->stream) {
        probe_finish(probe, 503, "%s", strerror(ENOMEM));
        return;
    }
    probe->fd = -1;
    bufferevent_setcb(probe->stream, on_readable, NULL, on_stream_event, probe);
    bufferevent_setwatermark(probe->stream, EV_READ, 0, PROBE_MOST_ANSWER);
    bufferevent_enable(probe->stream, EV_READ | EV_WRITE);
    if (!probe->http.location.is_tls)
        probe->protocol->begin(probe);
}

void probe_connect(struct probe *probe)
{
    const struct sockaddr *source = probe->own.source.family == AF_UNSPEC ? NULL : &probe->own.source.any;
    bool in_progress = false;

    close_stream(probe);
    probe->error = dialer_connect(&probe->own.address.any, source, &probe->fd, &in_progress);
    event_assign(&probe->connecting, probe->base, probe->error < 0 ? -1 : probe->fd, EV_WRITE, on_connected, probe);
    if (probe->error < 0 || event_add(&probe->connecting, NULL) < 0)
        event_active(&probe->connecting, EV_WRITE, 0);
}

static void set_out(const struct probe_question *question, struct location *location)
{
    const struct sockaddr *address = &question->address.any;
    char host[SOCKADDR_TEXT_SIZE];

    location->is_tls = question->config->scheme == PROBE_SCHEME_HTTPS;
    location->port = sockaddr_port(address);
    snprintf(location->host, sizeof location->host, address->sa_family == AF_INET6 ? "[%s]" : "%s",
             sockaddr_format_host(address, host));
    snprintf(location->path, sizeof location->path, "%s", question->config->path);
}

int probe_begin(struct event_base *base, const struct probe_question *question, probe_done *done, void *owner,
                struct probe **ret_probe)
{
    const struct timeval timeout = { .tv_sec = (time_t)(question->config->timeout_ms / 1000),
                                     .tv_usec = (suseconds_t)(question->config->timeout_ms % 1000 * 1000) };
    struct probe *probe = calloc(1, sizeof *probe);

    if (!probe)
        return -ENOMEM;
    probe->own = *question;
    probe->protocol = question->config->type == PROBE_HTTP   ? &probe_http
                      : question->config->type == PROBE_GRPC ? &probe_grpc
                                                             : NULL;
    probe->base = base;
    probe->done = done;
    probe->owner = owner;
    probe->fd = -1;
    sockaddr_format(&question->address.any, probe->authority);
    probe->host = question->config->host;
    if (question->config->type == PROBE_HTTP)
        set_out(question, &probe->http.location);
    evtimer_assign(&probe->timer, base, on_timeout, probe);
    evtimer_assign(&probe->connecting, base, on_connected, probe);
    if (evtimer_add(&probe->timer, &timeout) < 0) {
        free(probe);
        return -ENOMEM;
    }
    probe_connect(probe);
    *ret_probe = probe;
    return 0;
}

#include "proxy/upstream/health_probe.h"

#include <ctype.h>
#include <errno.h>
#include <event2/event.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/strbuf.h"
#include "proxy/net/dialer.h"
#include "proxy/net/proxy_header.h"
#include "proxy/tls/credentials.h"
#include "proxy/tls/mesh.h"

#define MOST_REQUEST 2048

void health_probe_init(struct health_probe *probe, const struct health_check_config *config, struct health_tls *tls,
                       void (*done)(struct health_probe *probe, enum health_outcome outcome, const char *problem))
{
    probe->config = config;
    probe->tls = tls;
    probe->done = done;
}

void health_probe_cancel(struct health_probe *probe)
{
    if (!transport_is_open(&probe->transport))
        return;
    evtimer_del(&probe->timer);
    /* A check leaves no TIME_WAIT behind at the endpoint's port. */
    transport_close(&probe->transport, TRANSPORT_CLOSE_RESET);
    free(probe->request);
    free(probe->answer);
    probe->request = probe->answer = NULL;
}

static void finish(struct health_probe *probe, const char *problem)
{
    health_probe_cancel(probe);
    probe->done(probe, problem ? HEALTH_FAILED : HEALTH_PASSED, problem);
}

/* What is sent; NULL for nothing. Returns 0 or -ENOMEM. */
static int make_request(const struct health_check_config *config, char **ret_request)
{
    struct strbuf text;

    *ret_request = NULL;
    if (config->type == HEALTH_CHECK_TCP || (config->type == HEALTH_CHECK_SEND_EXPECT && !config->send))
        return 0;
    strbuf_init(&text, MOST_REQUEST);
    if (config->type == HEALTH_CHECK_SEND_EXPECT)
        strbuf_append(&text, config->send);
    else
        strbuf_printf(&text,
                      "GET %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: outrigger-health-check\r\nConnection: close\r\n\r\n",
                      config->path, config->host);
    *ret_request = strbuf_take(&text);
    return *ret_request ? 0 : -ENOMEM;
}

static bool expects_answer(const struct health_check_config *config)
{
    return config->type == HEALTH_CHECK_HTTP || (config->type == HEALTH_CHECK_SEND_EXPECT && config->expect);
}

/* A status line whose code is 200 to 399 (RFC 9112, 4). */
static bool is_good_status(const char *answer)
{
    return strncmp(answer, "HTTP/1.", 7) == 0 && (answer[7] == '0' || answer[7] == '1') && answer[8] == ' ' &&
           (answer[9] == '2' || answer[9] == '3') && isdigit((unsigned char)answer[10]) &&
           isdigit((unsigned char)answer[11]);
}

/* Looks at what has come so far. Returns whether the probe is over. */
static bool judge(struct health_probe *probe, bool ended)
{
    const struct health_check_config *config = probe->config;

    if (config->type == HEALTH_CHECK_HTTP) {
        if (!ended && probe->received < 12 && !memchr(probe->answer, '\n', probe->received))
            return false;
        finish(probe, is_good_status(probe->answer) ? NULL : "its status is not 200 to 399");
        return true;
    }
    if (memmem(probe->answer, probe->received, config->expect, strlen(config->expect))) {
        finish(probe, NULL);
        return true;
    }
    if (!ended && probe->received + 1 < HEALTH_PROBE_MOST_ANSWER)
        return false;
    finish(probe, "its answer is not what is expected");
    return true;
}

static void watch(struct health_probe *probe, enum transport_interest interest)
{
    if (transport_set_interest(&probe->transport, interest) < 0)
        finish(probe, strerror(ENOMEM));
}

static void receive(struct health_probe *probe)
{
    struct transport *transport = &probe->transport;

    for (;;) {
        ssize_t n = transport->ops->read(transport, probe->answer + probe->received,
                                         HEALTH_PROBE_MOST_ANSWER - probe->received - 1);

        if (n == -EAGAIN || n == -EINTR) {
            watch(probe, TRANSPORT_READ);
            return;
        }
        if (n < 0) {
            finish(probe, strerror((int)-n));
            return;
        }
        probe->received += (size_t)n;
        probe->answer[probe->received] = '\0';
        if (judge(probe, n == 0))
            return;
    }
}

/* Nobody is announced: version 1 says UNKNOWN, version 2 LOCAL. A new connection takes so little at once. */
static void announce(struct health_probe *probe)
{
    const union inet_address nobody = { 0 };
    uint8_t header[PROXY_HEADER_SIZE];
    size_t length = proxy_header_write(probe->proxy_protocol == PROXY_PROTOCOL_V1 ? 1 : 2, &nobody, &nobody, header);

    probe->transport.ops->write(&probe->transport, header, length, false);
}

static void send_request(struct health_probe *probe)
{
    size_t length = probe->request ? strlen(probe->request) : 0;
    struct transport *transport = &probe->transport;

    if (!probe->announced && probe->proxy_protocol != PROXY_PROTOCOL_NONE)
        announce(probe);
    probe->announced = true;
    if (transport->owed_bytes > 0)
        transport->ops->flush(transport);
    if (probe->sent < length) {
        ssize_t n = transport->ops->write(transport, probe->request + probe->sent, length - probe->sent, false);

        if (n < 0 && n != -EAGAIN && n != -EINTR) {
            finish(probe, strerror((int)-n));
            return;
        }
        probe->sent += n > 0 ? (size_t)n : 0;
    }
    if (probe->sent < length || transport->owed_bytes > 0)
        watch(probe, TRANSPORT_WRITE);
    else if (expects_answer(probe->config))
        receive(probe);
    else
        finish(probe, NULL);
}

/* Returns 0 or a negative errno. */
static int begin_tls(struct health_probe *probe)
{
    struct health_tls *tls = probe->tls;
    struct credentials *credentials = credential_slot_get(tls->credentials);
    struct carrier *carrier = NULL;

    if (!credentials)
        return -ENOKEY;
    if (tls->carriers.in || carrier_means_init(&tls->carriers) == 0)
        carrier = carrier_new(&tls->carriers, credentials, CARRIER_DIALS, clock_now_ms());
    credentials_unref(credentials);
    if (!carrier)
        return -ENOMEM;
    transport_tls_begin(&probe->transport, carrier);
    return 0;
}

/* 0 when the app is reached, -EAGAIN, or a negative errno. */
static int go_on_connecting(struct health_probe *probe)
{
    int r;

    if (!probe->transport.carrier) {
        r = dialer_result(probe->transport.fd);
        if (r < 0 || !probe->peer_identities)
            return r;
        r = begin_tls(probe);
        if (r < 0)
            return r;
    }
    return mesh_dial(&probe->transport, probe->peer_identities);
}

static bool is_local(int error)
{
    return error == -EMFILE || error == -ENFILE || error == -ENOMEM || error == -ENOBUFS || error == -EADDRNOTAVAIL ||
           error == -EACCES || error == -EPERM || error == -ENOKEY;
}

static void fail(struct health_probe *probe, int error)
{
    const char *problem = strerror(-error), *detail;

    if (error == -EPROTO && carrier_problem(probe->transport.carrier, &detail) != TLS_PROBLEM_NONE)
        problem = detail;
    health_probe_cancel(probe);
    probe->done(probe, is_local(error) ? HEALTH_UNKNOWN : HEALTH_FAILED, problem);
}

static void on_event(evutil_socket_t fd, short what, void *argument)
{
    struct health_probe *probe = argument;
    int r;

    (void)fd;
    if (!probe->connected) {
        r = go_on_connecting(probe);
        if (r == -EAGAIN)
            return;
        if (r < 0) {
            fail(probe, r);
            return;
        }
        probe->connected = true;
        send_request(probe);
    } else if (what & EV_READ) {
        receive(probe);
    } else {
        send_request(probe);
    }
}

static void on_timeout(evutil_socket_t fd, short what, void *argument)
{
    (void)fd;
    (void)what;
    finish(argument, "timed out");
}

/* Returns 0 or a negative errno. */
static int begin(struct health_probe *probe, struct event_base *base, const struct sockaddr *address)
{
    const struct health_check_config *config = probe->config;
    struct timeval timeout = { .tv_sec = (time_t)(config->timeout_ms / 1000),
                               .tv_usec = (suseconds_t)(config->timeout_ms % 1000 * 1000) };
    union sockaddr_any target = { 0 };
    bool in_progress;
    int fd, r;

    memcpy(&target, address, sockaddr_length(address));
    if (config->port != 0 && target.family != AF_UNIX)
        sockaddr_set_port(&target.any, (uint16_t)config->port);
    r = dialer_connect(&target.any, NULL, &fd, &in_progress);
    if (r < 0)
        return r;
    /* Connected at once or not, the socket's event comes: it is writable then. */
    transport_tcp_open(&probe->transport, fd, base, on_event, probe);
    probe->connected = probe->announced = false;
    probe->sent = probe->received = 0;
    evtimer_assign(&probe->timer, base, on_timeout, probe);
    probe->answer = calloc(1, HEALTH_PROBE_MOST_ANSWER);
    r = probe->answer ? make_request(config, &probe->request) : -ENOMEM;
    if (r == 0 &&
        (transport_set_interest(&probe->transport, TRANSPORT_WRITE) < 0 || evtimer_add(&probe->timer, &timeout) < 0))
        r = -ENOMEM;
    if (r < 0)
        health_probe_cancel(probe);
    return r;
}

void health_probe_begin(struct health_probe *probe, struct event_base *base, const struct sockaddr *address)
{
    int r = begin(probe, base, address);

    if (r < 0)
        probe->done(probe, is_local(r) ? HEALTH_UNKNOWN : HEALTH_FAILED, strerror(-r));
}

#include "proxy/conn/detect.h"

#include <errno.h>
#include <event2/event.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/macros.h"
#include "proxy/conn/authorize.h"
#include "proxy/conn/conn.h"
#include "proxy/conn/connect.h"
#include "proxy/conn/secure.h"
#include "proxy/net/client_hello.h"
#include "proxy/worker/worker.h"

/* How soon a handshake that found no place is tried again. */
#define PLACE_MS 10

enum verdict {
    VERDICT_NONE,      /* nothing has come */
    VERDICT_BEGUN,     /* the beginning of a ClientHello */
    VERDICT_MESH,      /* a ClientHello of a sidecar */
    VERDICT_TLS,       /* another ClientHello */
    VERDICT_PLAINTEXT, /* anything else, or the end */
    VERDICT_GONE,
};

static enum verdict judge(const uint8_t *bytes, size_t length, bool is_ended)
{
    struct client_hello hello;

    switch (client_hello_parse(bytes, length, &hello)) {
    case CLIENT_HELLO_INCOMPLETE:
        return is_ended ? VERDICT_PLAINTEXT : VERDICT_BEGUN;
    case CLIENT_HELLO_NOT_TLS:
        return VERDICT_PLAINTEXT;
    case CLIENT_HELLO_COMPLETE:
        break;
    }
    return hello.speaks_mesh ? VERDICT_MESH : VERDICT_TLS;
}

static enum verdict look(struct conn *conn, short what)
{
    const struct transport *client = &conn->client.transport;
    char *bytes = conn->worker->means.scratch;
    ssize_t n;

    if (client->ops->cut_error(client) < 0)
        return VERDICT_GONE;
    n = recv(client->fd, bytes, CLIENT_HELLO_MOST_BYTES, MSG_PEEK);
    if (n < 0)
        return errno == EAGAIN || errno == EINTR ? VERDICT_NONE : VERDICT_GONE;
    return n == 0 ? VERDICT_PLAINTEXT : judge((const uint8_t *)bytes, (size_t)n, what & EV_CLOSED);
}

/* When a ClientHello must be there. */
static uint64_t deadline_ms_of(const struct conn *conn)
{
    uint64_t since_ms = conn->state == CONN_AWAITING_HELLO ? conn->started_ms : conn->last_byte_ms;

    return since_ms + conn->cluster->config->client_tls.handshake_timeout_ms;
}

static void arm(struct conn *conn, uint64_t deadline_ms)
{
    timers_arm_exact(&conn->worker->timers, &conn->timer, deadline_ms);
}

/* The client has no identity, and the rules may have changed since it was let in. */
static void go_on_in_plaintext(struct conn *conn, uint64_t now_ms)
{
    conn->is_undecided = false;
    timers_cancel(&conn->worker->timers, &conn->timer);
    if (authorize_allows(conn))
        connect_go_on(conn, now_ms);
    else
        conn_end(conn, END_DENIED);
}

static void end_without_tls(struct conn *conn)
{
    conn_end(conn, conn->cluster->config->client_tls.mode == INBOUND_TLS_STRICT ? END_TLS_REQUIRED : END_DENIED);
}

/* When the client has said nothing that decides. One that has begun has its time to go on, whatever the app does. */
static void on_wait(struct conn *conn, enum verdict verdict)
{
    if (verdict == VERDICT_BEGUN)
        arm(conn, deadline_ms_of(conn));
    if (transport_set_interest(&conn->client.transport, TRANSPORT_ARRIVALS) < 0)
        conn_end(conn, END_NO_MEMORY);
}

static void on_plaintext(struct conn *conn, uint64_t now_ms)
{
    if (conn->state == CONN_DETECTING)
        go_on_in_plaintext(conn, now_ms);
    else if (conn->state == CONN_REFUSING)
        conn_end(conn, conn->ends_for);
    else
        end_without_tls(conn);
}

static void decide(struct conn *conn, enum verdict verdict, uint64_t now_ms)
{
    switch (verdict) {
    case VERDICT_NONE:
    case VERDICT_BEGUN:
        on_wait(conn, verdict);
        return;
    case VERDICT_GONE:
        conn_end(conn, END_CLIENT_GONE);
        return;
    case VERDICT_PLAINTEXT:
        on_plaintext(conn, now_ms);
        return;
    case VERDICT_TLS: /* where it must be ours, TLS itself tells the client what is wrong */
        if (conn->state != CONN_AWAITING_HELLO) {
            on_plaintext(conn, now_ms);
            return;
        }
        break;
    case VERDICT_MESH:
        break;
    }
    if (!secure_begin(conn, now_ms))
        arm(conn, now_ms + PLACE_MS);
}

void detect_await_hello(struct conn *conn)
{
    conn_move(conn, CONN_AWAITING_HELLO);
    arm(conn, deadline_ms_of(conn));
    decide(conn, look(conn, 0), conn->started_ms);
}

void detect_begin(struct conn *conn, uint64_t now_ms)
{
    const struct cluster_config *config = conn->cluster->config;

    conn_move(conn, CONN_DETECTING);
    conn->last_byte_ms = now_ms;
    arm(conn, deadline_ms_of(conn));
    if (config->proxy_protocol != PROXY_PROTOCOL_NONE && config->proxy_protocol_identity)
        /* The app may wait for the header, which waits for the client. */
        arm(conn, MIN(deadline_ms_of(conn), now_ms + config->client_tls.detect_ms));
    if (transport_set_interest(&conn->upstream.transport, TRANSPORT_ARRIVALS) < 0) {
        conn_end(conn, END_NO_MEMORY);
        return;
    }
    decide(conn, look(conn, 0), now_ms);
}

void detect_refuse(struct conn *conn, enum end_reason reason)
{
    uint64_t now_ms = clock_now_ms(), wait_ms = conn->cluster->config->client_tls.detect_ms;

    connect_release(conn);
    conn_move(conn, CONN_REFUSING);
    conn->is_undecided = false;
    conn->ends_for = reason;
    conn->last_byte_ms = now_ms;
    arm(conn, now_ms + wait_ms);
    decide(conn, look(conn, 0), now_ms);
}

void detect_on_client(struct conn *conn, short what)
{
    if (conn->client.transport.carrier)
        secure_on_client(conn);
    else
        decide(conn, look(conn, what), clock_now_ms());
}

void detect_on_upstream(struct conn *conn)
{
    uint64_t now_ms = clock_now_ms(), wait_ms = conn->cluster->config->client_tls.detect_ms;
    enum verdict verdict = look(conn, 0); /* in one batch of events the client's may come second */

    if (verdict != VERDICT_NONE)
        decide(conn, verdict, now_ms);
    else if (wait_ms == 0)
        go_on_in_plaintext(conn, now_ms);
    else
        arm(conn, MIN(conn->timer.deadline_ms, now_ms + wait_ms));
}

void detect_on_timer(struct conn *conn, uint64_t now_ms)
{
    enum verdict verdict;

    if (conn->client.transport.carrier) {
        secure_on_timer(conn);
        return;
    }
    verdict = look(conn, 0);
    if ((verdict == VERDICT_MESH || verdict == VERDICT_TLS) && now_ms < deadline_ms_of(conn)) {
        decide(conn, verdict, now_ms);
        return;
    }
    if (verdict == VERDICT_GONE)
        conn_end(conn, END_CLIENT_GONE);
    else if (conn->state == CONN_AWAITING_HELLO || (conn->state == CONN_DETECTING && verdict == VERDICT_MESH))
        conn_end(conn, END_CLIENT_TLS_TIMEOUT); /* a sidecar that found no place is no plaintext client */
    else
        on_plaintext(conn, now_ms);
}

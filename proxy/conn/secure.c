#include "proxy/conn/secure.h"

#include <errno.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/macros.h"
#include "proxy/conn/announce.h"
#include "proxy/conn/authorize.h"
#include "proxy/conn/conn.h"
#include "proxy/conn/connect.h"
#include "proxy/worker/worker.h"

#define LOG_EVERY_MS 1000

static void give_place(struct conn *conn)
{
    if (conn->holds_handshake)
        limits_give(&conn->worker->shared->limits.handshakes);
    conn->holds_handshake = false;
}

static void count(struct conn *conn, enum tls_problem problem)
{
    counter_add(&conn->worker->handshakes.ended[HANDSHAKE_ACCEPTED][problem], 1);
}

static void fail(struct conn *conn, enum tls_problem problem, const char *detail, enum end_reason reason)
{
    union inet_address client = announce_client(conn);
    char from[SOCKADDR_TEXT_SIZE];

    count(conn, problem);
    log_write_limited(LOG_WARNING, log_enabled(LOG_DEBUG) ? 0 : LOG_EVERY_MS, &conn->worker->tls_logged_ms,
                      "cluster %s: TLS with client %s failed: %s: %s", conn->cluster->config->name,
                      sockaddr_format(&client.any, from), tls_problem_name(problem),
                      detail[0] != '\0' ? detail : tls_problem_meaning(problem));
    conn_end(conn, conn->state == CONN_REFUSING ? conn->ends_for : reason);
}

/* The client has proven who it is. */
static void succeed(struct conn *conn, uint64_t now_ms)
{
    if (carrier_is_revoked(conn->client.transport.carrier, conn->worker->credentials)) {
        fail(conn, TLS_PROBLEM_REVOKED, "by a list that is newer than the handshake", END_REVOKED);
        return;
    }
    count(conn, TLS_PROBLEM_NONE);
    conn->account.client_tls_ms = (uint32_t)(now_ms - carrier_began_ms(conn->client.transport.carrier));
    histogram_add(&conn->worker->handshakes.duration[HANDSHAKE_ACCEPTED], conn->account.client_tls_ms);
    timers_cancel(&conn->worker->timers, &conn->timer);
    give_place(conn);
    conn->is_undecided = false;
    if (conn->state == CONN_REFUSING)
        conn_end(conn, conn->ends_for);
    else if (!authorize_allows(conn))
        conn_end(conn, END_DENIED);
    else if (transport_is_open(&conn->upstream.transport))
        connect_go_on(conn, now_ms);
    else
        connect_begin(conn);
}

static void go_on(struct conn *conn, uint64_t now_ms)
{
    int r = transport_tls_handshake(&conn->client.transport, NULL);
    enum tls_problem problem;
    const char *detail;

    switch (r) {
    case 0:
        succeed(conn, now_ms);
        break;
    case -EAGAIN:
        break;
    case -ENOMEM:
        conn_end(conn, END_NO_MEMORY);
        break;
    default:
        problem = carrier_problem(conn->client.transport.carrier, &detail);
        fail(conn, problem, detail, END_CLIENT_TLS);
        break;
    }
}

bool secure_begin(struct conn *conn, uint64_t now_ms)
{
    struct worker *worker = conn->worker;
    struct limits *limits = &worker->shared->limits;
    struct carrier *carrier;

    if (!limits_take(&limits->handshakes, atomic_load_explicit(&limits->max_handshakes, memory_order_relaxed)))
        return false;
    conn->holds_handshake = true;
    if (conn->state != CONN_REFUSING)
        conn_move(conn, CONN_SECURING);
    if (!worker->credentials) {
        fail(conn, TLS_PROBLEM_NO_CREDENTIALS, "", END_CLIENT_TLS);
        return true;
    }
    carrier = carrier_new(&worker->carriers, worker->credentials, CARRIER_ACCEPTS, now_ms);
    if (!carrier) {
        conn_end(conn, END_NO_MEMORY);
        return true;
    }
    transport_tls_begin(&conn->client.transport, carrier);
    timers_arm_exact(&worker->timers, &conn->timer, now_ms + conn->cluster->config->client_tls.handshake_timeout_ms);
    go_on(conn, now_ms);
    return true;
}

void secure_on_client(struct conn *conn)
{
    go_on(conn, clock_now_ms());
}

void secure_on_timer(struct conn *conn)
{
    fail(conn, TLS_PROBLEM_TIMEOUT, "", END_CLIENT_TLS_TIMEOUT);
}

void secure_keep_peer(struct side *side)
{
    side->ended = side->transport.carrier;
    side->transport.carrier = NULL;
}

void secure_release(struct conn *conn)
{
    give_place(conn);
    carrier_free(conn->client.ended);
    carrier_free(conn->upstream.ended);
    conn->client.ended = conn->upstream.ended = NULL;
}

static const struct spiffe_id *peer_of(const struct side *side)
{
    const struct carrier *carrier = side->transport.carrier ? side->transport.carrier : side->ended;

    return carrier ? carrier_peer(carrier) : NULL;
}

const struct spiffe_id *secure_client(const struct conn *conn)
{
    return peer_of(&conn->client);
}

const struct spiffe_id *secure_endpoint(const struct conn *conn)
{
    return peer_of(&conn->upstream);
}

static bool is_revoked(const struct transport *transport, const struct credentials *credentials)
{
    return transport->carrier && carrier_peer(transport->carrier) &&
           carrier_is_revoked(transport->carrier, credentials);
}

void secure_end_revoked(struct worker *worker)
{
    struct list_node *next;

    for (struct list_node *node = worker->connections.next; node != &worker->connections; node = next) {
        struct conn *conn = CONTAINER_OF(node, struct conn, in_worker);

        next = node->next;
        if (is_revoked(&conn->client.transport, worker->credentials) ||
            is_revoked(&conn->upstream.transport, worker->credentials))
            conn_end(conn, END_REVOKED);
    }
}

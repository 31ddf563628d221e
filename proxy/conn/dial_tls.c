#include "proxy/conn/dial_tls.h"

#include <errno.h>
#include <string.h>

#include "proxy/conn/conn.h"
#include "proxy/net/dialer.h"
#include "proxy/tls/mesh.h"
#include "proxy/worker/worker.h"

static void count(struct conn *conn, enum tls_problem problem)
{
    counter_add(&conn->worker->handshakes.ended[HANDSHAKE_DIALLED][problem], 1);
}

static int begin_tls(struct conn *conn, struct transport *transport, uint64_t now_ms)
{
    struct worker *worker = conn->worker;
    struct carrier *carrier;

    if (!worker->credentials)
        return -ENOKEY;
    carrier = carrier_new(&worker->carriers, worker->credentials, CARRIER_DIALS, now_ms);
    if (!carrier)
        return -ENOMEM;
    transport_tls_begin(transport, carrier);
    return 0;
}

/* A direct peer that spoke the mesh protocol once is never spoken to without it: see docs/security.md. */
static bool is_due(const struct conn *conn, const struct attempt_target *target, uint64_t now_ms)
{
    switch ((enum upstream_tls_mode)conn->cluster->config->tls.mode) {
    case UPSTREAM_TLS_DISABLED:
        return false;
    case UPSTREAM_TLS_MUTUAL:
        return true;
    case UPSTREAM_TLS_AUTO:
        break;
    }
    return atomic_load_explicit(&target->endpoint->speaks_mesh, memory_order_relaxed) ||
           now_ms >= atomic_load_explicit(&target->endpoint->plaintext_until_ms, memory_order_relaxed);
}

/* Whether what went wrong is that of a peer which knows nothing of the mesh, and must not be one that does. */
static bool speaks_plaintext(const struct conn *conn, const struct attempt_target *target,
                             const struct transport *transport)
{
    return conn->cluster->config->tls.mode == UPSTREAM_TLS_AUTO && transport->carrier &&
           !carrier_met_mesh(transport->carrier) &&
           !atomic_load_explicit(&target->endpoint->speaks_mesh, memory_order_relaxed);
}

static void remember_plaintext(const struct attempt_target *target, uint64_t until_ms)
{
    atomic_store_explicit(&target->endpoint->plaintext_until_ms, until_ms, memory_order_relaxed);
}

void dial_doubt_plaintext(const struct conn *conn)
{
    if (conn->cluster->config->tls.mode == UPSTREAM_TLS_AUTO && conn->target.endpoint &&
        !conn->upstream.transport.carrier)
        remember_plaintext(&conn->target, 0);
}

static uint64_t plaintext_ms(const struct transport *transport)
{
    const char *detail;

    return carrier_problem(transport->carrier, &detail) == TLS_PROBLEM_CUT ? DIAL_PLAINTEXT_SHORT_MS
                                                                           : DIAL_PLAINTEXT_MS;
}

bool dial_is_plaintext_after_all(const struct conn *conn, const struct attempt_target *target,
                                 const struct transport *transport, uint64_t now_ms)
{
    if (!speaks_plaintext(conn, target, transport))
        return false;
    remember_plaintext(target, now_ms + DIAL_PLAINTEXT_MS);
    return true;
}

/* One whose handshake has begun. */
static int go_on_securely(struct conn *conn, const struct attempt_target *target, struct transport *transport,
                          uint64_t now_ms)
{
    int r = mesh_dial(transport, &conn->cluster->config->tls.peer_identities);

    if (r == 0 && carrier_is_revoked(transport->carrier, conn->worker->credentials)) {
        carrier_fail(transport->carrier, TLS_PROBLEM_REVOKED, "by a list that is newer than the handshake");
        return -EPROTO;
    }
    if (r == -EPROTO && speaks_plaintext(conn, target, transport)) {
        remember_plaintext(target, now_ms + plaintext_ms(transport));
        return -EPROTONOSUPPORT;
    }
    if (target->endpoint && carrier_peer(transport->carrier))
        atomic_store_explicit(&target->endpoint->speaks_mesh, true, memory_order_relaxed);
    if (r != -EAGAIN && r != -EPROTO && r != -ENOMEM) { /* what the status says is nothing of TLS */
        count(conn, TLS_PROBLEM_NONE);
        conn->account.upstream_tls_ms = (uint32_t)(now_ms - carrier_began_ms(transport->carrier));
        histogram_add(&conn->worker->handshakes.duration[HANDSHAKE_DIALLED], conn->account.upstream_tls_ms);
    }
    return r;
}

int dial_go_on_connected(struct conn *conn, const struct attempt_target *target, struct transport *transport,
                         uint64_t now_ms)
{
    int r;

    if (!is_due(conn, target, now_ms))
        return 0;
    r = begin_tls(conn, transport, now_ms);
    return r < 0 ? r : go_on_securely(conn, target, transport, now_ms);
}

int dial_go_on(struct conn *conn, const struct attempt_target *target, struct transport *transport, uint64_t now_ms)
{
    int r;

    if (transport->carrier)
        return go_on_securely(conn, target, transport, now_ms);
    r = dialer_result(transport->fd);
    return r < 0 ? r : dial_go_on_connected(conn, target, transport, now_ms);
}

enum transport_interest dial_interest(const struct transport *transport)
{
    if (!transport->carrier)
        return TRANSPORT_WRITE;
    return transport->owed_bytes > 0 ? TRANSPORT_READ_WRITE : TRANSPORT_READ;
}

const char *dial_count_failure(struct conn *conn, const struct transport *transport, int error)
{
    enum tls_problem problem = TLS_PROBLEM_NONE;
    const char *detail = "";

    if (conn->state == CONN_AWAITING_REPLY) /* the handshake was counted when it succeeded */
        return strerror(-error);
    if (error == -ENOKEY)
        problem = TLS_PROBLEM_NO_CREDENTIALS;
    else if (transport->carrier)
        problem = carrier_problem(transport->carrier, &detail);
    if (problem == TLS_PROBLEM_NONE && error == -ETIMEDOUT && transport->carrier && !carrier_peer(transport->carrier))
        problem = TLS_PROBLEM_TIMEOUT;
    if (problem == TLS_PROBLEM_NONE)
        return error == -EKEYREJECTED ? "its sidecar's authorization does not allow it" : strerror(-error);
    count(conn, problem);
    return detail[0] != '\0' ? detail : tls_problem_meaning(problem);
}

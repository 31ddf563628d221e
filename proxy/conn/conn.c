#include "proxy/conn/conn.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/macros.h"
#include "proxy/conn/admission.h"
#include "proxy/conn/announce.h"
#include "proxy/conn/connect.h"
#include "proxy/conn/detect.h"
#include "proxy/conn/fault.h"
#include "proxy/conn/relay.h"
#include "proxy/conn/replay.h"
#include "proxy/conn/routing.h"
#include "proxy/conn/secure.h"
#include "proxy/conn/tell.h"
#include "proxy/conn/timeouts.h"
#include "proxy/conn/transparent.h"
#include "proxy/net/sockopt.h"
#include "proxy/tls/mesh.h"
#include "proxy/worker/worker.h"

#define BIT(state) (1u << CONN_##state)

static const struct {
    const char *name;
    unsigned successors;
} states[] = {
#define X(constant, label, legal, guard) [CONN_##constant] = { .name = label, .successors = (legal) },
    CONN_STATES(X)
#undef X
};

const char *conn_state_name(enum conn_state state)
{
    return states[state].name;
}

void conn_move(struct conn *conn, enum conn_state state)
{
    assert(state == CONN_CLOSED ? conn->state != CONN_CLOSED : (states[conn->state].successors & (1u << state)) != 0);
    if (state != CONN_CLOSED)
        tell_move(conn, state);
    conn->state = state;
}

void conn_enter_cluster(struct conn *conn, struct cluster *cluster)
{
    conn->cluster = cluster;
    conn->counters = &cluster->state->shards[conn->worker->index].counters[conn->direction];
    counter_add(&conn->counters->opened, 1);
}

int conn_accept(struct worker *worker, const struct mail *accepted, uint64_t now_ms)
{
    const struct listener *listener = accepted->listener;
    struct conn *conn = calloc(1, sizeof *conn);

    if (!conn) {
        sockopt_reset_on_close(accepted->fd);
        close(accepted->fd);
        return -ENOMEM;
    }
    conn->worker = worker;
    conn->state = CONN_NEW;
    conn->direction = listener->direction;
    conn->started_ms = now_ms;
    conn->last_byte_ms = now_ms;
    conn->upstream.transport.fd = -1;
    account_begin(conn);
    list_append(&worker->connections, &conn->in_worker);
    transport_tcp_open(&conn->client.transport, accepted->fd, worker->base, relay_on_client, conn);
    timeouts_init(conn);
    conn->peer = accepted->client;
    conn->snapshot = accepted->snapshot;
    if (conn->snapshot != worker->snapshot)
        snapshot_ref(conn->snapshot);
    conn->cluster = listener->cluster;

    if (!limits_acquire(&worker->shared->limits)) {
        conn_end(conn, END_MAX_CONNECTIONS);
        return 0;
    }
    conn->holds_limit = true;
    routing_begin(conn, listener);
    return 0;
}

/* A sidecar that was not told yet how it went. */
static enum mesh_status status_of(enum end_reason reason)
{
    switch (reason) {
    case END_CONNECT_REFUSED:
    case END_FAULT_REFUSE:
        return MESH_STATUS_REFUSED;
    case END_UPSTREAM_RESET:
        return MESH_STATUS_RESET;
    case END_CONNECT_TIMEOUT:
        return MESH_STATUS_TIMEOUT;
    case END_CONNECT_UNREACHABLE:
        return MESH_STATUS_UNREACHABLE;
    case END_DENIED:
        return MESH_STATUS_DENIED;
    case END_CIRCUIT_BREAKER:
    case END_PENDING_TIMEOUT:
    case END_MAX_CONNECTIONS:
    case END_MAX_CONNECTIONS_PER_SOURCE:
    case END_NO_ENDPOINT:
    case END_NO_DESCRIPTORS:
    case END_NO_MEMORY:
        return MESH_STATUS_OVERLOADED;
    default:
        return MESH_STATUS_FAILED;
    }
}

void conn_refuse(struct conn *conn, enum end_reason reason)
{
    if (conn->is_undecided)
        detect_refuse(conn, reason);
    else
        conn_end(conn, reason);
}

void conn_end(struct conn *conn, enum end_reason reason)
{
    struct worker *worker = conn->worker;
    enum transport_closing closing = end_reason_closing(reason);
    bool is_told;

    if (!conn->counters)
        conn_enter_cluster(conn, conn->cluster);
    account_end(conn, reason, clock_now_ms()); /* whoever sees the end finds it counted; TLS tells it before */
    tell_end(conn, reason);
    is_told = mesh_tell(&conn->client.transport, status_of(reason));
    conn_move(conn, CONN_CLOSED);
    timers_cancel(&worker->timers, &conn->timer);
    transport_close(&conn->upstream.transport, closing);
    pump_discard(&conn->to_upstream.pump, &worker->means);
    pump_discard(&conn->to_client.pump, &worker->means);
    replay_free(conn->to_upstream.pump.replay, &worker->means.budget);
    connect_release(conn);
    secure_release(conn);
    fault_end(conn);
    admission_end(conn);
    announce_end(conn);
    if (conn->holds_limit)
        limits_release(&worker->shared->limits);
    atomic_fetch_sub_explicit(&worker->active, 1, memory_order_relaxed);
    /* Whoever sees it and comes back finds its places free. */
    transport_close(&conn->client.transport, is_told ? TRANSPORT_CLOSE : closing);
    transparent_end(conn);
    if (conn->snapshot != worker->snapshot)
        snapshot_unref(conn->snapshot);
    list_remove(&conn->in_worker);
    worker_bury(worker, &conn->in_worker);
}

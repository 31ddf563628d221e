#include "proxy/conn/pending.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/macros.h"
#include "proxy/conn/conn.h"
#include "proxy/conn/connect.h"
#include "proxy/conn/relay.h"
#include "proxy/worker/worker.h"

/* Only a connection that waits has this. */
struct pending {
    struct waiter waiter;
    struct list_node grant; /* in the worker's mailbox */
    struct conn *conn;
};

static void on_granted(struct waiter *waiter)
{
    struct pending *pending = CONTAINER_OF(waiter, struct pending, waiter);

    mailbox_grant(&pending->conn->worker->mailbox, &pending->grant);
}

void pending_begin(struct conn *conn)
{
    struct worker *worker = conn->worker;
    struct pending *pending = calloc(1, sizeof *pending);
    uint64_t begins_ms = conn->state == CONN_NEW ? conn->started_ms : clock_now_ms();

    if (!pending) {
        conn_end(conn, END_NO_MEMORY);
        return;
    }
    pending->waiter.granted = on_granted;
    pending->conn = conn;
    list_init(&pending->waiter.node);
    list_init(&pending->grant);
    if (!cluster_wait(conn->cluster, &pending->waiter)) {
        free(pending);
        conn_refuse(conn, END_CIRCUIT_BREAKER);
        return;
    }
    conn->pending = pending;
    conn_move(conn, CONN_PENDING);
    timers_arm_exact(&worker->timers, &conn->timer,
                     begins_ms + conn->cluster->config->circuit_breaker.pending_timeout_ms);
    relay_watch_client(conn);
}

void pending_on_grant(struct list_node *grant)
{
    struct pending *pending = CONTAINER_OF(grant, struct pending, grant);
    struct conn *conn = pending->conn;

    conn->pending = NULL;
    free(pending);
    timers_cancel(&conn->worker->timers, &conn->timer);
    connect_with_place(conn);
}

void pending_on_timer(struct conn *conn)
{
    if (!cluster_give_up_waiting(conn->cluster, &conn->pending->waiter))
        return; /* its turn has come; the grant is in the mailbox */
    free(conn->pending);
    conn->pending = NULL;
    conn_refuse(conn, END_PENDING_TIMEOUT);
}

void pending_end(struct conn *conn)
{
    if (!conn->pending)
        return;
    cluster_stop_waiting(conn->cluster, &conn->pending->waiter);
    mailbox_withdraw(&conn->worker->mailbox, &conn->pending->grant);
    free(conn->pending);
    conn->pending = NULL;
}

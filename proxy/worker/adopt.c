#include "proxy/worker/adopt.h"

#include "base/macros.h"
#include "proxy/conn/account.h"
#include "proxy/conn/authorize.h"
#include "proxy/conn/conn.h"
#include "proxy/tls/credentials.h"
#include "proxy/worker/accept.h"
#include "proxy/worker/worker.h"

/* Moves the sockets of listeners that stay; what was not moved is gone. */
static void change_sockets(struct worker *worker, const struct snapshot *before, const struct snapshot *now)
{
    for (size_t i = 0; i < now->listener_count; i++) {
        struct listener_socket *socket = snapshot_socket(now, worker->index, i), *old;
        int fd;

        if (now->listeners[i].kept_from == LISTENER_NEW)
            continue;
        old = snapshot_socket(before, worker->index, now->listeners[i].kept_from);
        fd = atomic_load_explicit(&old->fd, memory_order_relaxed);
        if (fd < 0)
            continue;
        if (event_initialized(&old->event))
            event_del(&old->event);
        atomic_store_explicit(&old->fd, -1, memory_order_relaxed);
        atomic_store_explicit(&socket->fd, fd, memory_order_relaxed);
    }
    for (size_t i = 0; i < before->listener_count; i++)
        accept_drain(snapshot_socket(before, worker->index, i));
}

static void change_connection(struct conn *conn, struct snapshot *before, struct snapshot *now)
{
    struct cluster *newest = conn->cluster->state->newest;
    bool is_user = conn->snapshot != before;

    if (newest) {
        if (is_user)
            snapshot_unref(conn->snapshot);
        conn->cluster = newest;
        conn->snapshot = now;
    } else if (!is_user) {
        snapshot_ref(before);
    }
}

void adopt_snapshot(struct worker *worker)
{
    struct snapshot *before = worker->snapshot;
    struct snapshot *now = atomic_load_explicit(&worker->shared->snapshot, memory_order_acquire);

    if (now != before) {
        change_sockets(worker, before, now);
        snapshot_ref(now);
        worker->snapshot = now;
        for (struct list_node *node = worker->connections.next; node != &worker->connections; node = node->next)
            change_connection(CONTAINER_OF(node, struct conn, in_worker), before, now);
        router_view_done(&worker->routes);
        snapshot_unref(before);
        if (!now->config->identity.present) {
            credentials_unref(worker->credentials);
            worker->credentials = NULL;
        }
        if (now->config->authorization.count > 0)
            authorize_again(worker);
    }
    worker->means.most_queued = now->config->limits.buffer_per_connection_bytes;
    account_watch(worker);
    accept_begin(worker);
    atomic_store_explicit(&worker->adopted, now->serial, memory_order_release);
}

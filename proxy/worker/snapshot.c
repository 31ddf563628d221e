#include "proxy/worker/snapshot.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "proxy/worker/worker.h"

int snapshot_new(struct config *config, struct cluster_registry *registry, uint64_t now_ms,
                 struct snapshot **ret_snapshot)
{
    struct snapshot *snapshot = calloc(1, sizeof *snapshot);
    int r;

    if (!snapshot) {
        config_free(config);
        return -ENOMEM;
    }
    list_init(&snapshot->in_process);
    snapshot->config = config;
    r = cluster_set_new(config, registry, now_ms, &snapshot->clusters);
    if (r < 0) {
        snapshot_free(snapshot);
        return r;
    }
    *ret_snapshot = snapshot;
    return 0;
}

void snapshot_free(struct snapshot *snapshot)
{
    if (!snapshot)
        return;
    list_remove(&snapshot->in_process);
    for (size_t i = 0; snapshot->sockets && i < snapshot->worker_count * snapshot->listener_count; i++) {
        if (snapshot->sockets[i].fd >= 0)
            close(snapshot->sockets[i].fd);
    }
    free(snapshot->sockets);
    free(snapshot->listeners);
    cluster_set_free(snapshot->clusters);
    config_free(snapshot->config);
    free(snapshot);
}

int snapshot_add_listener(struct snapshot *snapshot, const struct listener *listener)
{
    struct listener *grown = reallocarray(snapshot->listeners, snapshot->listener_count + 1, sizeof *grown);

    if (!grown)
        return -ENOMEM;
    snapshot->listeners = grown;
    grown[snapshot->listener_count++] = *listener;
    return 0;
}

int snapshot_make_sockets(struct snapshot *snapshot, struct worker *workers, unsigned worker_count)
{
    snapshot->sockets = calloc(worker_count * snapshot->listener_count + 1, sizeof *snapshot->sockets);
    if (!snapshot->sockets)
        return -ENOMEM;
    snapshot->worker_count = worker_count;
    for (unsigned i = 0; i < worker_count; i++) {
        for (size_t j = 0; j < snapshot->listener_count; j++) {
            struct listener_socket *socket = snapshot_socket(snapshot, i, j);

            socket->worker = &workers[i];
            socket->listener = &snapshot->listeners[j];
            atomic_init(&socket->fd, -1);
        }
    }
    return 0;
}

struct listener_socket *snapshot_socket(const struct snapshot *snapshot, unsigned worker, size_t listener)
{
    return &snapshot->sockets[worker * snapshot->listener_count + listener];
}

/*
 * One configuration with everything that is made from it: clusters, listeners. A reload makes another; each worker
 * changes over between two turns of its loop, see worker_adopt().
 *
 * Immutable once it is in force, but for what says otherwise. Owner: the process, which frees it when it is no longer
 * in force and has no users. Thread: any.
 */
#pragma once

#include <event2/event_struct.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/list.h"
#include "base/sockaddr.h"
#include "proxy/config/config.h"
#include "proxy/observe/counters.h"
#include "proxy/upstream/cluster.h"

struct worker;

#define LISTENER_NEW SIZE_MAX

/* A listening address. */
struct listener {
    const char *name; /* for messages; borrowed */
    union sockaddr_any address;
    enum direction direction;
    struct cluster *cluster; /* where its connections begin */
    bool accepts_proxy_header;
    bool transparent; /* it accepts connections to other addresses than its own */
    size_t kept_from; /* the sockets are those of this one of the snapshot before, or LISTENER_NEW */
};

/* One worker's socket of a listener. Thread: the worker's, once it has adopted the snapshot; `fd` is read by the main
 * thread. */
struct listener_socket {
    struct worker *worker;
    const struct listener *listener;
    atomic_int fd; /* -1: closed */
    struct event event;
};

struct snapshot {
    struct list_node in_process;
    unsigned long serial; /* counts up */
    atomic_uint users;    /* workers, connections that stay with it, sockets on their way between workers */
    atomic_bool is_over;  /* connections that stay with it are to end: there are too many old ones */
    struct config *config;
    struct cluster_set *clusters;
    struct listener *listeners;
    size_t listener_count;
    struct listener_socket *sockets; /* of the first worker, then of the second, … */
    unsigned worker_count;
};

/*
 * Takes over `config`, whatever comes of it. There are no listeners yet.
 * ret_snapshot  set on success only; release with snapshot_free()
 * Returns 0 or -ENOMEM. Thread: the main thread.
 */
int snapshot_new(struct config *config, struct cluster_registry *registry, uint64_t now_ms,
                 struct snapshot **ret_snapshot);

/* Closes the sockets that no worker has adopted. */
void snapshot_free(struct snapshot *snapshot);

/* Appends one, without sockets. Returns 0 or -ENOMEM. */
int snapshot_add_listener(struct snapshot *snapshot, const struct listener *listener);

/* Makes the places for the sockets, once all listeners are there. Returns 0 or -ENOMEM. */
int snapshot_make_sockets(struct snapshot *snapshot, struct worker *workers, unsigned worker_count);

struct listener_socket *snapshot_socket(const struct snapshot *snapshot, unsigned worker, size_t listener);

static inline void snapshot_ref(struct snapshot *snapshot)
{
    atomic_fetch_add_explicit(&snapshot->users, 1, memory_order_relaxed);
}

/* The main thread frees it, later. */
static inline void snapshot_unref(struct snapshot *snapshot)
{
    atomic_fetch_sub_explicit(&snapshot->users, 1, memory_order_release);
}

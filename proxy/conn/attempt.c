#include "proxy/conn/attempt.h"

#include <errno.h>
#include <stdlib.h>

#include "proxy/conn/announce.h"
#include "proxy/conn/conn.h"
#include "proxy/upstream/cluster_endpoints.h"
#include "proxy/worker/worker.h"

struct tried {
    size_t count, room;
    struct endpoint *items[]; /* compared, never followed: they may be gone */
};

/* Only source_hash asks for it. */
static uint64_t hash_of_client(const struct conn *conn)
{
    union inet_address client;

    if (conn->cluster->config->load_balancing.policy != LB_SOURCE_HASH)
        return 0;
    client = announce_client(conn);
    if (client.family == AF_INET)
        return endpoint_hash_bytes(&client.in.sin_addr, sizeof client.in.sin_addr);
    return endpoint_hash_bytes(&client.in6.sin6_addr, sizeof client.in6.sin6_addr);
}

static enum attempt_choice choose(struct conn *conn, struct attempt_target *ret_target, uint64_t now_ms)
{
    struct worker *worker = conn->worker;
    struct cluster *cluster = conn->cluster;
    struct balancer_request request = { .tried = conn->tried ? conn->tried->items : NULL,
                                        .tried_count = conn->tried ? conn->tried->count : 0,
                                        .random = &worker->random,
                                        .turn = conn->turn,
                                        .now_ms = now_ms };

    request.set = cluster_view_get(&cluster->state->shards[worker->index].view, cluster->state);
    request.hash = hash_of_client(conn);
    cluster_pick(cluster, &request, ret_target);
    if (ret_target->endpoint)
        return ATTEMPT_CHOSEN;
    return request.tried_count > 0 ? ATTEMPT_ALL_TRIED : ATTEMPT_NONE;
}

enum attempt_choice attempt_choose(struct conn *conn, uint64_t now_ms)
{
    if (conn->cluster->config->discovery == DISCOVERY_ORIGINAL_DESTINATION)
        return ATTEMPT_CHOSEN;
    return choose(conn, &conn->target, now_ms);
}

/* Without memory the endpoint may be tried again in this round. */
static void remember_tried(struct conn *conn, struct endpoint *endpoint)
{
    size_t room = conn->cluster->config->retry.attempts;

    if (!conn->tried && endpoint) {
        conn->tried = calloc(1, sizeof *conn->tried + room * sizeof *conn->tried->items);
        if (conn->tried)
            conn->tried->room = room;
    }
    if (conn->tried && conn->tried->count < conn->tried->room)
        conn->tried->items[conn->tried->count++] = endpoint;
}

enum attempt_choice attempt_choose_beside(struct conn *conn, struct attempt_target *ret_target, uint64_t now_ms)
{
    enum attempt_choice choice;
    size_t before = conn->tried ? conn->tried->count : 0;

    remember_tried(conn, conn->target.endpoint);
    if (!conn->tried || conn->tried->count == before)
        return ATTEMPT_ALL_TRIED;
    choice = choose(conn, ret_target, now_ms);
    conn->tried->count = before;
    return choice;
}

void attempt_succeeded(struct conn *conn, uint64_t now_ms)
{
    cluster_report_success(conn->cluster, &conn->target, now_ms);
    attempt_forget_tried(conn);
}

static bool has_sent(const struct conn *conn)
{
    return conn->to_upstream.pump.bytes > conn->to_upstream.pump.queue.length;
}

/* What the proxy's own machine lacks is no fault of the endpoint; nor is it that it knows no TLS. */
static bool is_local(enum connect_cause cause, int error)
{
    return cause == CONNECT_CAUSE_NO_DESCRIPTORS || error == -ENOKEY || error == -EPROTONOSUPPORT ||
           error == -EADDRNOTAVAIL || error == -EACCES || error == -EPERM;
}

bool attempt_counts_connect(const struct cluster *cluster, const struct attempt_target *target,
                            enum connect_cause cause, int error)
{
    if (is_local(cause, error) || cause == CONNECT_CAUSE_DENIED) /* who denies is well */
        return false;
    /* A trial has shown nothing good, and the next connection is not to be wasted on it too. */
    return target->trial != 0 ||
           (cluster->config->outlier_detection.on & (cause == CONNECT_CAUSE_TLS ? OUTLIER_ON_TLS : OUTLIER_ON_CONNECT));
}

static bool counts(const struct conn *conn, const struct attempt_target *target, enum connect_cause cause, int error)
{
    uint64_t on = conn->cluster->config->outlier_detection.on;

    if (target->trial != 0)
        return attempt_counts_connect(conn->cluster, target, cause, error);
    switch (cause) {
    case CONNECT_CAUSE_RESET_BEFORE_REPLY:
        return on & (has_sent(conn) ? OUTLIER_ON_RESET_BEFORE_REPLY : OUTLIER_ON_RESET_BEFORE_REQUEST);
    case CONNECT_CAUSE_FIRST_BYTE_TIMEOUT: /* a client that says nothing may be the one to be waited for */
        return has_sent(conn) && (on & OUTLIER_ON_FIRST_BYTE_TIMEOUT);
    default:
        return attempt_counts_connect(conn->cluster, target, cause, error);
    }
}

void attempt_failed(struct conn *conn, struct attempt_target *target, enum connect_cause cause, int error,
                    uint64_t now_ms)
{
    if (target->endpoint && cause != CONNECT_CAUSE_NO_DESCRIPTORS)
        atomic_fetch_add_explicit(&target->endpoint->connect_failures, 1, memory_order_relaxed);
    if (counts(conn, target, cause, error))
        cluster_report_failure(conn->cluster, target, &conn->worker->random, now_ms);
    remember_tried(conn, target->endpoint);
}

void attempt_was_cut(struct conn *conn, enum connect_cause cause, uint64_t now_ms)
{
    if (conn->target.endpoint)
        atomic_fetch_add_explicit(&conn->target.endpoint->connect_failures, 1, memory_order_relaxed);
    if (counts(conn, &conn->target, cause, 0))
        cluster_report_failure(conn->cluster, &conn->target, &conn->worker->random, now_ms);
}

void attempt_end(struct conn *conn, uint64_t now_ms)
{
    cluster_let_go(&conn->target, now_ms);
}

void attempt_forget_tried(struct conn *conn)
{
    free(conn->tried);
    conn->tried = NULL;
}

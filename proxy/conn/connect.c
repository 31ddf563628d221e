#include "proxy/conn/connect.h"

#include <errno.h>
#include <event2/event.h>
#include <string.h>

#include "base/clock.h"
#include "base/interception.h"
#include "base/log.h"
#include "base/macros.h"
#include "proxy/conn/conn.h"
#include "proxy/conn/relay.h"
#include "proxy/conn/replay.h"
#include "proxy/conn/transparent.h"
#include "proxy/net/dialer.h"
#include "proxy/net/sockopt.h"
#include "proxy/worker/worker.h"

#define LOG_EVERY_MS 1000

static const unsigned retry_bit_of[CONNECT_CAUSE_COUNT] = {
    [CONNECT_CAUSE_REFUSED] = RETRY_ON_REFUSED,
    [CONNECT_CAUSE_TIMEOUT] = RETRY_ON_TIMEOUT,
    [CONNECT_CAUSE_UNREACHABLE] = RETRY_ON_UNREACHABLE,
    [CONNECT_CAUSE_RESET_BEFORE_REPLY] = RETRY_ON_RESET_BEFORE_REPLY,
};

static const enum end_reason end_of[CONNECT_CAUSE_COUNT] = {
    [CONNECT_CAUSE_REFUSED] = END_CONNECT_REFUSED,         [CONNECT_CAUSE_TIMEOUT] = END_CONNECT_TIMEOUT,
    [CONNECT_CAUSE_UNREACHABLE] = END_CONNECT_UNREACHABLE, [CONNECT_CAUSE_RESET_BEFORE_REPLY] = END_UPSTREAM_RESET,
    [CONNECT_CAUSE_NO_DESCRIPTORS] = END_NO_DESCRIPTORS,   [CONNECT_CAUSE_OTHER] = END_CONNECT_FAILED,
};

/* What connect(2) says, in the words of retry.on. */
static enum connect_cause cause_of(int error)
{
    switch (-error) {
    case ECONNRESET: /* after the handshake, before we looked */
    case EPIPE:
        return CONNECT_CAUSE_RESET_BEFORE_REPLY;
    case ECONNREFUSED:
    case ENOENT: /* a unix socket that is not there */
        return CONNECT_CAUSE_REFUSED;
    case ETIMEDOUT:
    case EAGAIN: /* a unix socket whose backlog is full */
        return CONNECT_CAUSE_TIMEOUT;
    case EADDRNOTAVAIL: /* no local port is left for this destination */
    case EHOSTUNREACH:
    case ENETUNREACH:
    case ENETDOWN:
    case EHOSTDOWN:
    case EACCES: /* a firewall's REJECT or DROP in our own output chain */
    case EPERM:
        return CONNECT_CAUSE_UNREACHABLE;
    case EMFILE:
    case ENFILE:
    case ENOBUFS:
    case ENOMEM:
        return CONNECT_CAUSE_NO_DESCRIPTORS;
    default:
        return CONNECT_CAUSE_OTHER;
    }
}

static bool is_link_local(const union inet_address *address)
{
    return address->family == AF_INET6 && IN6_IS_ADDR_LINKLOCAL(&address->in6.sin6_addr);
}

/*
 * What answers from a link-local address does not reach ::6, so an app that was called at one is dialled at localhost,
 * where it listens too unless it listens there alone.
 */
static const struct sockaddr *destination_of(const struct conn *conn, union inet_address *localhost)
{
    if (conn->endpoint)
        return &conn->endpoint->address.any;
    if (conn->direction != DIRECTION_INBOUND || !is_link_local(&conn->original))
        return &conn->original.any;
    sockaddr_parse_host("::1", sockaddr_port(&conn->original.any), localhost);
    return &localhost->any;
}

/*
 * Connections to the app come from 127.0.0.6 or ::6, which the redirect rules know and never capture. An endpoint
 * elsewhere cannot be reached from there and gets an ordinary source.
 */
static const struct sockaddr *source_of(const struct conn *conn, const struct sockaddr *destination,
                                        union inet_address *source)
{
    if (conn->direction != DIRECTION_INBOUND || destination->sa_family == AF_UNIX)
        return NULL;
    if (conn->endpoint && !sockaddr_is_loopback(destination))
        return NULL;
    if (sockaddr_parse_host(destination->sa_family == AF_INET ? INTERCEPTION_APP_SOURCE_IPV4
                                                              : INTERCEPTION_APP_SOURCE_IPV6,
                            0, source) < 0)
        return NULL;
    return &source->any;
}

/*
 * Only what is on this machine, and not on loopback, can answer another machine's address by way of the proxy.
 * Everything else gets an ordinary source.
 */
static bool keeps_client_address(const struct conn *conn, const struct sockaddr *destination)
{
    if (!conn->transparent || destination->sa_family != conn->original.family || sockaddr_is_loopback(destination))
        return false;
    return !conn->endpoint || dialer_address_is_local(destination);
}

static int dial(struct conn *conn, int *ret_fd, bool *ret_in_progress)
{
    union inet_address localhost, source;
    const struct sockaddr *destination = destination_of(conn, &localhost);

    if (keeps_client_address(conn, destination))
        return transparent_dial(conn, destination, ret_fd, ret_in_progress);
    return dialer_connect(destination, source_of(conn, destination, &source), ret_fd, ret_in_progress);
}

static void take_endpoint(struct conn *conn)
{
    conn->endpoint = cluster_pick(conn->cluster, conn->turn, conn->attempt);
    if (conn->endpoint)
        atomic_fetch_add_explicit(&conn->endpoint->active, 1, memory_order_relaxed);
}

static void release_endpoint(struct conn *conn)
{
    if (conn->endpoint)
        atomic_fetch_sub_explicit(&conn->endpoint->active, 1, memory_order_relaxed);
    conn->endpoint = NULL;
}

void connect_release(struct conn *conn)
{
    release_endpoint(conn);
    if (conn->holds_cluster)
        cluster_release(conn->cluster);
    conn->holds_cluster = false;
}

static void on_connected(struct conn *conn, uint64_t now_ms)
{
    timers_cancel(&conn->worker->timers, &conn->timer);
    if (conn->endpoint)
        atomic_fetch_add_explicit(&conn->endpoint->connects, 1, memory_order_relaxed);
    conn_move(conn, CONN_AWAITING_REPLY);
    relay_begin(conn, now_ms);
}

static void on_attempt_event(evutil_socket_t fd, short what, void *argument);

/* Begins one attempt. Returns 0 when it is under way or done, or a negative errno. */
static int attempt(struct conn *conn, uint64_t now_ms)
{
    struct worker *worker = conn->worker;
    bool in_progress;
    int fd, r;

    conn_move(conn, CONN_CONNECTING);
    conn->last_byte_ms = now_ms;
    take_endpoint(conn);
    r = dial(conn, &fd, &in_progress);
    if (r < 0)
        return r;
    transport_tcp_open(&conn->upstream.transport, fd, worker->base, in_progress ? on_attempt_event : relay_on_upstream,
                       conn);
    if (!in_progress) {
        on_connected(conn, now_ms);
        return 0;
    }
    r = transport_set_interest(&conn->upstream.transport, TRANSPORT_WRITE);
    if (r < 0)
        return r;
    timers_arm_exact(&worker->timers, &conn->timer, now_ms + conn->cluster->config->timeouts.connect_ms);
    return 0;
}

/* Full jitter: anything between nothing and the upper end, which doubles with each pause (the AWS builders' library).
 */
static uint64_t backoff_ms(struct conn *conn)
{
    const struct retry_config *retry = &conn->cluster->config->retry;
    unsigned tried = (unsigned)MAX(conn->cluster->endpoint_count, (size_t)1);
    unsigned doublings = MIN(conn->attempt - tried, 20u);
    uint64_t most_ms = MIN(retry->backoff.base_ms << doublings, retry->backoff.max_ms);

    return random_below(&conn->worker->random, most_ms + 1);
}

static void count_failure(struct conn *conn, enum connect_cause cause, int error)
{
    struct worker *worker = conn->worker;
    char destination[SOCKADDR_TEXT_SIZE];
    union inet_address localhost;

    counter_add(&conn->counters->connect_failures[cause], 1);
    if (cause == CONNECT_CAUSE_NO_DESCRIPTORS) {
        worker_pause_accepting(worker, error);
        return;
    }
    if (conn->endpoint)
        atomic_fetch_add_explicit(&conn->endpoint->connect_failures, 1, memory_order_relaxed);
    log_write_limited(LOG_INFO, LOG_EVERY_MS, &worker->failure_logged_ms, "cluster %s: attempt %u at %s failed: %s",
                      conn->cluster->config->name, conn->attempt + 1,
                      sockaddr_format(destination_of(conn, &localhost), destination), strerror(-error));
}

/*
 * After a failed attempt: lets go of it, and decides. Returns true when the next attempt is to be made at once; else
 * the connection waits (BACKOFF) or has ended.
 */
static bool failed(struct conn *conn, enum connect_cause cause, int error, uint64_t now_ms)
{
    const struct retry_config *retry = &conn->cluster->config->retry;

    timers_cancel(&conn->worker->timers, &conn->timer);
    count_failure(conn, cause, error);
    transport_close(&conn->upstream.transport, TRANSPORT_CLOSE_RESET);
    conn->upstream = (struct side){ .transport.fd = -1 };
    conn->settled = false;
    if (!(retry->on & retry_bit_of[cause]) || conn->attempt + 1 >= retry->attempts) {
        conn_end(conn, end_of[cause]);
        return false;
    }
    release_endpoint(conn);
    conn->attempt++;
    counter_add(&conn->counters->retries, 1);
    if (conn->attempt < conn->cluster->endpoint_count)
        return true;
    conn_move(conn, CONN_BACKOFF);
    timers_arm_exact(&conn->worker->timers, &conn->timer, now_ms + backoff_ms(conn));
    return false;
}

/* Attempts until one is under way; a loop, since connect(2) may fail at once, again and again. */
static void attempt_until_under_way(struct conn *conn, uint64_t now_ms)
{
    int r;

    do {
        r = attempt(conn, now_ms);
    } while (r < 0 && failed(conn, cause_of(r), r, now_ms));
}

static void on_attempt_event(evutil_socket_t fd, short what, void *argument)
{
    struct conn *conn = argument;
    struct transport *transport = &conn->upstream.transport;
    uint64_t now_ms = clock_now_ms();
    int r = dialer_result(fd);

    (void)what;
    if (cause_of(r) == CONNECT_CAUSE_RESET_BEFORE_REPLY && sockopt_unread(fd) > 0) {
        /* It was reached, sent something and was cut, all before this event: its bytes count. */
        transport_set_interest(transport, TRANSPORT_NOTHING);
        transport_tcp_open(transport, fd, conn->worker->base, relay_on_upstream, conn);
        conn_move(conn, CONN_AWAITING_REPLY);
        relay_begin_cut(conn, r, now_ms);
        return;
    }
    if (r < 0) {
        if (failed(conn, cause_of(r), r, now_ms))
            attempt_until_under_way(conn, now_ms);
        return;
    }
    transport_set_interest(transport, TRANSPORT_NOTHING);
    transport_tcp_open(transport, fd, conn->worker->base, relay_on_upstream, conn);
    on_connected(conn, now_ms);
}

void connect_begin(struct conn *conn)
{
    const struct retry_config *retry = &conn->cluster->config->retry;
    uint64_t now_ms = conn->started_ms;

    if (!cluster_acquire(conn->cluster)) {
        conn_end(conn, END_CIRCUIT_BREAKER);
        return;
    }
    conn->holds_cluster = true;
    conn->turn = cluster_next_turn(conn->cluster);
    if (retry->replay_bytes > 0 && (retry->on & RETRY_ON_RESET_BEFORE_REPLY))
        conn->to_upstream.pump.replay = replay_new(retry->replay_bytes);
    attempt_until_under_way(conn, now_ms);
    /* After the upstream, so that in one batch of events the connected upstream comes before the client's first bytes.
     */
    if (conn->state == CONN_CONNECTING || conn->state == CONN_BACKOFF)
        relay_watch_client(conn);
}

bool connect_may_retry_reset(const struct conn *conn)
{
    const struct retry_config *retry = &conn->cluster->config->retry;
    const struct pump *pump = &conn->to_upstream.pump;
    bool nothing_sent = pump->bytes == pump->queue.length;

    /* A byte of the reply, passed on or still in the kernel, ends all retries: two replies must never meet in one
     * stream. */
    if (conn->to_client.pump.bytes > 0 || sockopt_unread(conn->upstream.transport.fd) > 0)
        return false;
    return conn->state == CONN_AWAITING_REPLY && (retry->on & RETRY_ON_RESET_BEFORE_REPLY) &&
           conn->attempt + 1 < retry->attempts && (nothing_sent || (pump->replay && !pump->replay->given_up));
}

void connect_retry_reset(struct conn *conn)
{
    struct pump *pump = &conn->to_upstream.pump;
    uint64_t now_ms = clock_now_ms();

    if (pump->bytes > pump->queue.length) {
        pump_discard(pump, &conn->worker->means);
        if (replay_restore(pump->replay, &pump->queue, &conn->worker->means.budget) < 0) {
            conn_end(conn, END_NO_MEMORY);
            return;
        }
    }
    if (conn->to_upstream.flow == FLOW_ENDED)
        conn->to_upstream.flow = FLOW_ENDING; /* the next upstream is told as well */
    relay_watch_client(conn);
    if (conn->state == CONN_CLOSED)
        return;
    if (failed(conn, CONNECT_CAUSE_RESET_BEFORE_REPLY, -ECONNRESET, now_ms))
        attempt_until_under_way(conn, now_ms);
}

void connect_on_timer(struct conn *conn)
{
    uint64_t now_ms = clock_now_ms();

    if (conn->state == CONN_CONNECTING && !failed(conn, CONNECT_CAUSE_TIMEOUT, -ETIMEDOUT, now_ms))
        return;
    attempt_until_under_way(conn, now_ms);
}

#include "proxy/conn/connect.h"

#include <errno.h>
#include <event2/event.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/macros.h"
#include "proxy/conn/announce.h"
#include "proxy/conn/attempt.h"
#include "proxy/conn/authorize.h"
#include "proxy/conn/conn.h"
#include "proxy/conn/detect.h"
#include "proxy/conn/dial.h"
#include "proxy/conn/dial_tls.h"
#include "proxy/conn/failure.h"
#include "proxy/conn/fault.h"
#include "proxy/conn/hedge.h"
#include "proxy/conn/pending.h"
#include "proxy/conn/relay.h"
#include "proxy/conn/replay.h"
#include "proxy/conn/tell.h"
#include "proxy/conn/timeouts.h"
#include "proxy/net/sockopt.h"
#include "proxy/tls/mesh.h"
#include "proxy/worker/worker.h"

#define LOG_EVERY_MS 1000

static void end_retry(struct conn *conn)
{
    if (conn->holds_retry)
        cluster_end_retry(conn->cluster);
    conn->holds_retry = false;
}

void connect_release(struct conn *conn)
{
    hedge_cancel(conn);
    attempt_end(conn, clock_now_ms());
    attempt_forget_tried(conn);
    end_retry(conn);
    pending_end(conn);
    if (conn->holds_cluster)
        cluster_release(conn->cluster);
    conn->holds_cluster = false;
}

void connect_won(struct conn *conn, uint64_t now_ms)
{
    hedge_end(conn);
    timers_cancel(&conn->worker->timers, &conn->timer);
    if (conn->target.endpoint)
        atomic_fetch_add_explicit(&conn->target.endpoint->connects, 1, memory_order_relaxed);
    conn->connected_ms = now_ms;
    conn->account.connect_ms = (uint32_t)(now_ms - conn->started_ms);
    histogram_add(&conn->counters->connect, now_ms - conn->last_byte_ms);
    end_retry(conn);
    announce_to_upstream(conn);
    if (conn->is_undecided)
        detect_begin(conn, now_ms);
    else
        connect_go_on(conn, now_ms);
}

/* A sidecar hears of it before anything of the app's. */
static void tell_connected(struct conn *conn)
{
    if (mesh_tell(&conn->client.transport, MESH_STATUS_CONNECTED))
        conn->client.written = true;
}

void connect_go_on(struct conn *conn, uint64_t now_ms)
{
    conn_move(conn, CONN_AWAITING_REPLY);
    announce_to_upstream(conn);
    tell_connected(conn);
    relay_begin(conn, now_ms);
}

void connect_answered(struct conn *conn, uint64_t now_ms)
{
    attempt_succeeded(conn, now_ms);
    end_retry(conn);
}

static void won(struct conn *conn, uint64_t now_ms)
{
    transport_set_owner(&conn->upstream.transport, relay_on_upstream, conn);
    connect_won(conn, now_ms);
}

/* Begins one attempt at conn->target. Returns 0 when it is under way or done, or a negative errno. */
static int attempt(struct conn *conn, uint64_t now_ms)
{
    struct worker *worker = conn->worker;
    bool in_progress;
    int fd, r;

    conn_move(conn, CONN_CONNECTING);
    conn->last_byte_ms = now_ms;
    conn->account.has_dialled = true;
    r = dial_begin(conn, &conn->target, &fd, &in_progress);
    if (r < 0)
        return r;
    transport_tcp_open(&conn->upstream.transport, fd, worker->base, connect_on_event, conn);
    if (!in_progress) {
        r = dial_go_on_connected(conn, &conn->target, &conn->upstream.transport, now_ms);
        if (r == 0)
            won(conn, now_ms);
        if (r != -EAGAIN)
            return r;
    } else {
        r = transport_set_interest(&conn->upstream.transport, TRANSPORT_WRITE);
        if (r < 0)
            return r;
    }
    timers_arm_exact(&worker->timers, &conn->timer, now_ms + conn->cluster->config->timeouts.connect_ms);
    hedge_arm(conn, now_ms);
    return 0;
}

/* Full jitter: anything between nothing and the upper end, which doubles with each round (the AWS builders' library).
 */
static uint64_t backoff_ms(struct conn *conn)
{
    const struct retry_config *retry = &conn->cluster->config->retry;
    uint64_t most_ms = MIN(retry->backoff.base_ms << MIN(conn->rounds, 20), retry->backoff.max_ms);

    return random_below(&conn->worker->random, most_ms + 1);
}

static void back_off(struct conn *conn, uint64_t now_ms)
{
    conn_move(conn, CONN_BACKOFF);
    timers_arm_exact(&conn->worker->timers, &conn->timer, now_ms + backoff_ms(conn));
    attempt_forget_tried(conn);
    if (conn->rounds < UINT8_MAX)
        conn->rounds++;
}

void connect_count_failure(struct conn *conn, const struct attempt_target *target, const struct transport *transport,
                           enum connect_cause cause, int error)
{
    struct worker *worker = conn->worker;
    const char *what = dial_count_failure(conn, transport, error);
    char destination[SOCKADDR_TEXT_SIZE];

    counter_add(&conn->counters->connect_failures[cause], 1);
    account_failure(conn, target, cause);
    if (cause == CONNECT_CAUSE_NO_DESCRIPTORS) {
        worker_pause_accepting(worker, error);
        return;
    }
    sockaddr_format(dial_destination(conn, target), destination);
    tell_failure(conn, destination, what);
    log_write_limited(LOG_INFO, LOG_EVERY_MS, &worker->failure_logged_ms, "cluster %s: attempt %u at %s failed: %s",
                      conn->cluster->config->name, conn->attempt + 1, destination, what);
}

static void close_attempt(struct conn *conn)
{
    transport_close(&conn->upstream.transport, TRANSPORT_CLOSE_RESET);
    conn->upstream = (struct side){ .transport.fd = -1 };
    conn->settled = false;
}

/* The attempt has failed: counts it and lets go of its socket. */
static void give_up(struct conn *conn, enum connect_cause cause, int error, uint64_t now_ms)
{
    timers_cancel(&conn->worker->timers, &conn->timer);
    connect_count_failure(conn, &conn->target, &conn->upstream.transport, cause, error);
    attempt_failed(conn, &conn->target, cause, error, now_ms);
    close_attempt(conn);
}

/* Whether there is to be another attempt after a failure of this kind. Then it is counted. */
static bool takes_retry(struct conn *conn, enum connect_cause cause, uint64_t now_ms)
{
    const struct retry_config *retry = &conn->cluster->config->retry;

    end_retry(conn);
    if (!(failure_is_retried(retry, cause)) || conn->attempt + 1 >= retry->attempts ||
        !cluster_begin_retry(conn->cluster, now_ms))
        return false;
    conn->holds_retry = true;
    conn->attempt++;
    counter_add(&conn->counters->retries, 1);
    return true;
}

/* The next endpoint. Returns whether an attempt is to be made at once; else the connection waits (BACKOFF) or ended. */
static bool choose(struct conn *conn, uint64_t now_ms)
{
    switch (attempt_choose(conn, now_ms)) {
    case ATTEMPT_CHOSEN:
        return true;
    case ATTEMPT_ALL_TRIED:
        back_off(conn, now_ms);
        return false;
    case ATTEMPT_NONE:
        conn_refuse(conn, END_NO_ENDPOINT);
        return false;
    }
    return false;
}

/*
 * After an attempt was given up: decides. Returns true when the next attempt is to be made at once, at conn->target;
 * else the connection waits or has ended.
 */
static bool goes_on(struct conn *conn, enum connect_cause cause, uint64_t now_ms)
{
    if (!takes_retry(conn, cause, now_ms)) {
        conn_refuse(conn, failure_end_reason(cause));
        return false;
    }
    attempt_end(conn, now_ms);
    if (conn->cluster->config->discovery != DISCOVERY_ORIGINAL_DESTINATION)
        return choose(conn, now_ms);
    back_off(conn, now_ms); /* there is no other */
    return false;
}

static bool failed(struct conn *conn, enum connect_cause cause, int error, uint64_t now_ms)
{
    if (error == -EPROTONOSUPPORT && conn->state == CONN_CONNECTING) {
        close_attempt(conn); /* the same endpoint again: that it does not know TLS is no failure */
        return true;
    }
    give_up(conn, cause, error, now_ms);
    if (conn->state == CONN_HEDGING) {
        attempt_end(conn, now_ms);
        hedge_promote(conn);
        return false;
    }
    return goes_on(conn, cause, now_ms);
}

/* Attempts until one is under way; a loop, since connect(2) may fail at once, again and again. */
static void attempt_until_under_way(struct conn *conn, uint64_t now_ms)
{
    int r;

    do {
        r = attempt(conn, now_ms);
    } while (r < 0 && failed(conn, failure_cause(r), r, now_ms));
}

void connect_on_event(evutil_socket_t fd, short what, void *argument)
{
    struct conn *conn = argument;
    struct transport *transport = &conn->upstream.transport;
    uint64_t now_ms = clock_now_ms();
    int r = dial_go_on(conn, &conn->target, transport, now_ms);

    (void)what;
    if (r == -EAGAIN)
        return;
    if (failure_cause(r) == CONNECT_CAUSE_RESET_BEFORE_REPLY && !transport->carrier && sockopt_unread(fd) > 0) {
        /* It was reached, sent something and was cut, all before this event: its bytes count. */
        hedge_end(conn);
        transport_set_owner(transport, relay_on_upstream, conn);
        if (conn->is_undecided && !authorize_allows(conn)) {
            conn_end(conn, END_DENIED);
            return;
        }
        conn->is_undecided = false;
        conn_move(conn, CONN_AWAITING_REPLY);
        tell_connected(conn);
        relay_begin_cut(conn, r, now_ms);
        return;
    }
    if (r == 0)
        won(conn, now_ms);
    else if (failed(conn, failure_cause(r), r, now_ms))
        attempt_until_under_way(conn, now_ms);
}

void connect_with_place(struct conn *conn)
{
    const struct retry_config *retry = &conn->cluster->config->retry;
    uint64_t now_ms = conn->state == CONN_NEW ? conn->started_ms : clock_now_ms();
    bool is_watched = conn->state == CONN_PENDING || conn->state == CONN_FAULT_DELAYED;

    conn->holds_cluster = true;
    timeouts_limit_duration(conn);
    conn->turn = cluster_next_turn(conn->cluster);
    if (retry->replay_bytes > 0 && (retry->on & (RETRY_ON_RESET_BEFORE_REPLY | RETRY_ON_TIMEOUT)))
        conn->to_upstream.pump.replay = replay_new(retry->replay_bytes);
    if (choose(conn, now_ms))
        attempt_until_under_way(conn, now_ms);
    /* After the upstream, so that in one batch of events the connected upstream comes before the client's first bytes.
     */
    if (!is_watched && (conn->state == CONN_CONNECTING || conn->state == CONN_BACKOFF))
        relay_watch_client(conn);
}

void connect_begin(struct conn *conn)
{
    if (faults_are_on(&conn->cluster->state->faults))
        fault_begin(conn);
    else
        connect_find_place(conn);
}

void connect_find_place(struct conn *conn)
{
    if (cluster_acquire(conn->cluster))
        connect_with_place(conn);
    else
        pending_begin(conn);
}

/* A byte of the reply, passed on or still in the kernel, ends all retries: two replies must never meet in one stream.
 */
static bool has_reply(const struct conn *conn)
{
    return conn->to_client.pump.bytes > 0 || conn->upstream.transport.has_more ||
           sockopt_unread(conn->upstream.transport.fd) > 0;
}

static bool may_retry(const struct conn *conn, enum connect_cause cause)
{
    const struct retry_config *retry = &conn->cluster->config->retry;
    const struct pump *pump = &conn->to_upstream.pump;
    bool nothing_sent = pump->bytes == pump->queue.length;

    return (failure_is_retried(retry, cause)) && conn->attempt + 1 < retry->attempts &&
           (nothing_sent || (pump->replay && !pump->replay->given_up));
}

/* Makes ready what the next upstream is to get. Returns 0 or a negative errno. */
static int restore_request(struct conn *conn)
{
    struct pump *pump = &conn->to_upstream.pump;

    if (pump->bytes > pump->queue.length && pump_restore(pump, &conn->worker->means) < 0)
        return -ENOMEM;
    if (conn->to_upstream.flow == FLOW_ENDED)
        conn->to_upstream.flow = FLOW_ENDING; /* the next upstream is told as well */
    return 0;
}

static void retry_unanswered(struct conn *conn, enum connect_cause cause, int error, uint64_t now_ms)
{
    give_up(conn, cause, error, now_ms);
    if (restore_request(conn) < 0) {
        conn_end(conn, END_NO_MEMORY);
        return;
    }
    relay_watch_client(conn);
    if (conn->state != CONN_CLOSED && goes_on(conn, cause, now_ms))
        attempt_until_under_way(conn, now_ms);
}

bool connect_retries_cut(struct conn *conn, uint64_t now_ms)
{
    if (conn->state != CONN_AWAITING_REPLY)
        return false;
    if (has_reply(conn)) {
        connect_answered(conn, now_ms);
        return false;
    }
    dial_doubt_plaintext(conn);
    if (may_retry(conn, CONNECT_CAUSE_RESET_BEFORE_REPLY)) {
        retry_unanswered(conn, CONNECT_CAUSE_RESET_BEFORE_REPLY, -ECONNRESET, now_ms);
        return true;
    }
    connect_count_failure(conn, &conn->target, &conn->upstream.transport, CONNECT_CAUSE_RESET_BEFORE_REPLY,
                          -ECONNRESET);
    attempt_was_cut(conn, CONNECT_CAUSE_RESET_BEFORE_REPLY, now_ms);
    return false;
}

void connect_on_first_byte_timeout(struct conn *conn, uint64_t now_ms)
{
    if (has_reply(conn)) { /* its event is next */
        timeouts_begin(conn, now_ms);
        return;
    }
    if (may_retry(conn, CONNECT_CAUSE_FIRST_BYTE_TIMEOUT)) {
        retry_unanswered(conn, CONNECT_CAUSE_FIRST_BYTE_TIMEOUT, -ETIMEDOUT, now_ms);
        return;
    }
    connect_count_failure(conn, &conn->target, &conn->upstream.transport, CONNECT_CAUSE_FIRST_BYTE_TIMEOUT, -ETIMEDOUT);
    attempt_was_cut(conn, CONNECT_CAUSE_FIRST_BYTE_TIMEOUT, now_ms);
    conn_end(conn, END_FIRST_BYTE_TIMEOUT);
}

void connect_on_timer(struct conn *conn)
{
    uint64_t now_ms = clock_now_ms();
    int error = -ETIMEDOUT;

    if (conn->state != CONN_BACKOFF &&
        dial_is_plaintext_after_all(conn, &conn->target, &conn->upstream.transport, now_ms))
        error = -EPROTONOSUPPORT;
    if (conn->state == CONN_BACKOFF ? choose(conn, now_ms) : failed(conn, failure_cause(error), error, now_ms))
        attempt_until_under_way(conn, now_ms);
}

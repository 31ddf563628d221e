#include "proxy/conn/hedge.h"

#include <errno.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/macros.h"
#include "proxy/conn/attempt.h"
#include "proxy/conn/conn.h"
#include "proxy/conn/connect.h"
#include "proxy/conn/dial.h"
#include "proxy/conn/dial_tls.h"
#include "proxy/conn/failure.h"
#include "proxy/conn/relay.h"
#include "proxy/conn/stray.h"
#include "proxy/worker/worker.h"

struct hedge {
    struct conn *conn;
    struct transport transport; /* closed: it has not begun */
    struct attempt_target target;
    struct timer timer; /* when it begins; then its timeouts.connect */
    bool holds_retry, holds_descriptor;
};

static void end_retry(struct hedge *hedge)
{
    if (hedge->holds_retry)
        cluster_end_retry(hedge->conn->cluster);
    hedge->holds_retry = false;
}

static void give_descriptor(struct hedge *hedge)
{
    if (hedge->holds_descriptor)
        limits_give(&hedge->conn->worker->shared->limits.hedges);
    hedge->holds_descriptor = false;
}

static void free_hedge(struct conn *conn)
{
    struct hedge *hedge = conn->hedge;

    timers_cancel(&conn->worker->timers, &hedge->timer);
    end_retry(hedge);
    give_descriptor(hedge);
    free(hedge);
    conn->hedge = NULL;
}

/* Moves the attempt's socket and target to be the connection's own; libevent's callback from now on is `callback`. */
static void take_place(struct hedge *hedge, event_callback_fn callback)
{
    struct conn *conn = hedge->conn;

    transport_move(&conn->upstream.transport, &hedge->transport, callback, conn);
    give_descriptor(hedge);
    conn->target = hedge->target;
    hedge->target = (struct attempt_target){ 0 };
}

static void on_event(evutil_socket_t fd, short what, void *argument);

/* Begins it. Returns 0 when it is under way or connected, or a negative errno. */
static int begin(struct hedge *hedge, uint64_t now_ms)
{
    struct conn *conn = hedge->conn;
    bool in_progress;
    int fd, r = dial_begin(conn, &hedge->target, &fd, &in_progress);

    if (r < 0)
        return r;
    /* Connected at once or not, the socket's event comes: it is writable then. */
    transport_tcp_open(&hedge->transport, fd, conn->worker->base, on_event, hedge);
    r = transport_set_interest(&hedge->transport, TRANSPORT_WRITE);
    if (r < 0) {
        transport_close(&hedge->transport, TRANSPORT_CLOSE_RESET);
        return r;
    }
    timers_arm_exact(&conn->worker->timers, &hedge->timer, now_ms + conn->cluster->config->timeouts.connect_ms);
    return 0;
}

/* It failed, or could not begin: its endpoint is not chosen again in this round. */
static void fail(struct hedge *hedge, int error, uint64_t now_ms)
{
    struct conn *conn = hedge->conn;
    enum connect_cause cause = failure_cause(error);

    connect_count_failure(conn, &hedge->target, &hedge->transport, cause, error);
    attempt_failed(conn, &hedge->target, cause, error, now_ms);
    transport_close(&hedge->transport, TRANSPORT_CLOSE_RESET);
    cluster_let_go(&hedge->target, now_ms);
    end_retry(hedge);
    give_descriptor(hedge);
}

static bool may_begin(const struct hedge *hedge)
{
    const struct conn *conn = hedge->conn;

    return conn->attempt + 1 < conn->cluster->config->retry.attempts && conn->cluster->config->retry.hedge_after_ms > 0;
}

static void arm(struct hedge *hedge, uint64_t now_ms)
{
    timers_arm_exact(&hedge->conn->worker->timers, &hedge->timer,
                     now_ms + hedge->conn->cluster->config->retry.hedge_after_ms);
}

/*
 * Another endpoint, if attempts and budget allow one. Where only the place is missing, it is asked for again: many
 * connections may become slow in one turn of the loop, and places are free again in a round trip.
 */
static bool choose(struct hedge *hedge, uint64_t now_ms)
{
    struct conn *conn = hedge->conn;

    if (!may_begin(hedge))
        return false;
    hedge->holds_descriptor = limits_take(&conn->worker->shared->limits.hedges, LIMITS_MOST_HEDGES);
    if (!hedge->holds_descriptor) {
        arm(hedge, now_ms);
        return false;
    }
    if (attempt_choose_beside(conn, &hedge->target, now_ms) != ATTEMPT_CHOSEN ||
        !cluster_begin_retry(conn->cluster, now_ms)) {
        cluster_let_go(&hedge->target, now_ms);
        give_descriptor(hedge);
        return false;
    }
    hedge->holds_retry = true;
    conn->attempt++;
    counter_add(&conn->counters->retries, 1);
    counter_add(&conn->counters->hedges, 1);
    return true;
}

/* A loop, since connect(2) may fail at once, again and again. */
static void begin_until_under_way(struct hedge *hedge, uint64_t now_ms)
{
    while (choose(hedge, now_ms)) {
        int r = begin(hedge, now_ms);

        if (r == 0) {
            conn_move(hedge->conn, CONN_HEDGING);
            return;
        }
        fail(hedge, r, now_ms);
        if (!failure_is_retried(&hedge->conn->cluster->config->retry, failure_cause(r)))
            return;
    }
}

/* The connection's own attempt goes on alone; another beside it may follow at once, as after any failure. */
static void go_on_alone(struct hedge *hedge, int error, uint64_t now_ms)
{
    timers_cancel(&hedge->conn->worker->timers, &hedge->timer);
    fail(hedge, error, now_ms);
    conn_move(hedge->conn, CONN_CONNECTING);
    if (failure_is_retried(&hedge->conn->cluster->config->retry, failure_cause(error)))
        begin_until_under_way(hedge, now_ms);
}

/* The connection's own attempt has lost. */
static void win(struct hedge *hedge, uint64_t now_ms)
{
    struct conn *conn = hedge->conn;

    stray_begin(conn, &conn->upstream.transport, &conn->target, conn->timer.deadline_ms);
    take_place(hedge, relay_on_upstream);
    connect_won(conn, now_ms);
}

static void on_event(evutil_socket_t fd, short what, void *argument)
{
    struct hedge *hedge = argument;
    uint64_t now_ms = clock_now_ms();
    int r = dial_go_on(hedge->conn, &hedge->target, &hedge->transport, now_ms);

    (void)fd;
    (void)what;
    if (r == -EAGAIN)
        return;
    if (r < 0)
        go_on_alone(hedge, r, now_ms);
    else
        win(hedge, now_ms);
}

static void on_timer(struct timer *timer, uint64_t now_ms)
{
    struct hedge *hedge = CONTAINER_OF(timer, struct hedge, timer);

    if (transport_is_open(&hedge->transport))
        go_on_alone(hedge, -ETIMEDOUT, now_ms);
    else if (hedge->conn->state == CONN_CONNECTING) /* else it is armed again with the next attempt */
        begin_until_under_way(hedge, now_ms);
}

void hedge_arm(struct conn *conn, uint64_t now_ms)
{
    const struct cluster_config *config = conn->cluster->config;

    if (config->retry.hedge_after_ms == 0 || config->discovery == DISCOVERY_ORIGINAL_DESTINATION)
        return;
    if (!conn->hedge)
        conn->hedge = calloc(1, sizeof *conn->hedge);
    if (!conn->hedge) /* then without */
        return;
    conn->hedge->conn = conn;
    conn->hedge->timer.fire = on_timer;
    if (may_begin(conn->hedge))
        arm(conn->hedge, now_ms);
}

void hedge_promote(struct conn *conn)
{
    struct hedge *hedge = conn->hedge;
    uint64_t deadline_ms = hedge->timer.deadline_ms;

    take_place(hedge, connect_on_event);
    if (!conn->holds_retry) { /* it is the connection's retry now */
        conn->holds_retry = hedge->holds_retry;
        hedge->holds_retry = false;
    }
    end_retry(hedge);
    conn_move(conn, CONN_CONNECTING);
    timers_arm_exact(&conn->worker->timers, &conn->timer, deadline_ms);
    if (transport_set_interest(&conn->upstream.transport, dial_interest(&conn->upstream.transport)) < 0)
        conn_end(conn, END_NO_MEMORY);
    else
        hedge_arm(conn, clock_now_ms());
}

void hedge_end(struct conn *conn)
{
    struct hedge *hedge = conn->hedge;

    if (!hedge)
        return;
    if (transport_is_open(&hedge->transport)) {
        give_descriptor(hedge);
        stray_begin(conn, &hedge->transport, &hedge->target, hedge->timer.deadline_ms);
    }
    free_hedge(conn);
}

void hedge_cancel(struct conn *conn)
{
    if (!conn->hedge)
        return;
    transport_close(&conn->hedge->transport, TRANSPORT_CLOSE_RESET);
    cluster_let_go(&conn->hedge->target, clock_now_ms());
    free_hedge(conn);
}

#include "proxy/conn/timeouts.h"

#include "base/macros.h"
#include "proxy/conn/announce.h"
#include "proxy/conn/conn.h"
#include "proxy/conn/connect.h"
#include "proxy/conn/detect.h"
#include "proxy/conn/fault.h"
#include "proxy/conn/peek.h"
#include "proxy/conn/pending.h"
#include "proxy/conn/relay.h"
#include "proxy/conn/secure.h"
#include "proxy/net/sockopt.h"
#include "proxy/worker/worker.h"

/* The first look at a connection. Most are gone by then and never pay for keepalive. */
#define FIRST_LOOK_MS 1000

/* Further looks: at least this often, more often for short timeouts. */
#define LOOK_MS 5000

/*
 * Whether a peer owes acknowledgements for dead_peer already. Asks the kernel only about sides that were written to. A
 * peer that does not read answers the kernel's probes of its closed window and is alive; the probes come up to two
 * minutes apart, so it is their answers that count, not the time since the last one.
 */
static bool is_dead(struct side *side, uint64_t dead_peer_ms, uint64_t now_ms)
{
    struct sockopt_peer peer;

    if (!side->written || !transport_is_open(&side->transport))
        return false;
    if (sockopt_get_peer(side->transport.fd, &peer) < 0 || peer.has_all)
        side->written = false;
    if (!side->written || !peer.owes) {
        side->owed_since_ms = 0;
        return false;
    }
    if (side->owed_since_ms == 0)
        side->owed_since_ms = now_ms;
    else if (peer.last_heard_ms < now_ms - side->owed_since_ms)
        side->owed_since_ms = now_ms - peer.last_heard_ms;
    return now_ms - side->owed_since_ms >= dead_peer_ms;
}

/* The limit that counts now, 0 for none. */
static uint64_t idle_limit_ms(const struct conn *conn, enum end_reason *ret_reason)
{
    const struct timeouts_config *timeouts = &conn->cluster->config->timeouts;
    bool half_closed = conn->to_upstream.flow == FLOW_ENDED || conn->to_client.flow == FLOW_ENDED;

    if (half_closed && timeouts->half_close_ms > 0) {
        *ret_reason = END_HALF_CLOSE_TIMEOUT;
        return timeouts->half_close_ms;
    }
    *ret_reason = END_IDLE_TIMEOUT;
    return timeouts->idle_ms;
}

/* When the connection ends for want of a first byte, 0: not at all. */
static uint64_t first_byte_deadline_ms(const struct conn *conn)
{
    uint64_t limit_ms = conn->cluster->config->timeouts.first_byte_ms;

    return conn->state == CONN_AWAITING_REPLY && limit_ms > 0 ? conn->connected_ms + limit_ms : 0;
}

static void arm(struct conn *conn, uint64_t now_ms, uint64_t look_ms)
{
    const struct timeouts_config *timeouts = &conn->cluster->config->timeouts;
    enum end_reason reason;
    uint64_t limit_ms = idle_limit_ms(conn, &reason), deadline_ms = now_ms + look_ms;

    if (timeouts->half_close_ms > 0)
        deadline_ms = MIN(deadline_ms, now_ms + timeouts->half_close_ms); /* may begin to count at any time */
    if (timeouts->dead_peer_ms > 0)
        deadline_ms = MIN(deadline_ms, now_ms + MAX(timeouts->dead_peer_ms / 4, (uint64_t)TIMERS_TICK_MS));
    if (limit_ms > 0)
        deadline_ms = MIN(deadline_ms, conn->last_byte_ms + limit_ms);
    if (conn->ends_ms > 0)
        deadline_ms = MIN(deadline_ms, conn->ends_ms);
    limit_ms = first_byte_deadline_ms(conn);
    if (limit_ms > 0)
        deadline_ms = MIN(deadline_ms, limit_ms);
    timers_arm_lazy(&conn->worker->timers, &conn->timer, deadline_ms, now_ms);
}

/* Keepalive costs eight system calls, so it waits for connections that last. */
static void set_keepalive(struct conn *conn)
{
    const struct timeouts_config *timeouts = &conn->cluster->config->timeouts;

    conn->settled = true;
    sockopt_set_keepalive(conn->client.transport.fd, timeouts->keepalive_ms, timeouts->dead_peer_ms);
    sockopt_set_keepalive(conn->upstream.transport.fd, timeouts->keepalive_ms, timeouts->dead_peer_ms);
}

static void look(struct conn *conn, uint64_t now_ms)
{
    const struct timeouts_config *timeouts = &conn->cluster->config->timeouts;
    enum end_reason reason;
    uint64_t limit_ms = idle_limit_ms(conn, &reason), first_byte_ms = first_byte_deadline_ms(conn);

    if (conn->ends_ms > 0 && now_ms >= conn->ends_ms) {
        conn_end(conn, END_MAX_DURATION);
        return;
    }
    if (first_byte_ms > 0 && now_ms >= first_byte_ms) {
        connect_on_first_byte_timeout(conn, now_ms);
        return;
    }
    if (!conn->settled && now_ms - conn->started_ms >= FIRST_LOOK_MS)
        set_keepalive(conn);
    if (timeouts->dead_peer_ms > 0) {
        if (is_dead(&conn->client, timeouts->dead_peer_ms, now_ms)) {
            conn_end(conn, END_CLIENT_DEAD);
            return;
        }
        if (is_dead(&conn->upstream, timeouts->dead_peer_ms, now_ms)) {
            if (!connect_retries_cut(conn, now_ms))
                conn_end(conn, END_UPSTREAM_DEAD);
            return;
        }
    }
    if (limit_ms > 0 && now_ms - conn->last_byte_ms >= limit_ms) {
        conn_end(conn, reason);
        return;
    }
    arm(conn, now_ms, LOOK_MS);
}

static void on_timer(struct timer *timer, uint64_t now_ms)
{
    struct conn *conn = CONTAINER_OF(timer, struct conn, timer);

    switch (conn->state) {
    case CONN_PEEKING:
        peek_on_timer(conn);
        break;
    case CONN_ANNOUNCING:
        announce_on_timer(conn);
        break;
    case CONN_AWAITING_HELLO:
    case CONN_DETECTING:
    case CONN_REFUSING:
        detect_on_timer(conn, now_ms);
        break;
    case CONN_SECURING:
        secure_on_timer(conn);
        break;
    case CONN_FAULT_DELAYED:
        fault_on_delay_over(conn);
        break;
    case CONN_PENDING:
        pending_on_timer(conn);
        break;
    case CONN_CONNECTING:
    case CONN_HEDGING:
    case CONN_BACKOFF:
        connect_on_timer(conn);
        break;
    case CONN_ENDING:
        relay_on_ending_timer(conn, now_ms);
        break;
    case CONN_CUTTING:
        relay_on_cut_timer(conn, now_ms);
        break;
    case CONN_AWAITING_REPLY:
    case CONN_ESTABLISHED:
    case CONN_HALF_CLOSED:
        look(conn, now_ms);
        break;
    case CONN_NEW:
    case CONN_CLOSED:
    case CONN_STATE_COUNT:
        break; /* they have no clock */
    }
}

void timeouts_init(struct conn *conn)
{
    conn->timer.fire = on_timer;
}

void timeouts_limit_duration(struct conn *conn)
{
    uint64_t most_ms = conn->cluster->config->timeouts.max_duration_ms;

    if (most_ms > 0)
        conn->ends_ms = conn->started_ms + most_ms - random_below(&conn->worker->random, most_ms / 10 + 1);
}

void timeouts_begin(struct conn *conn, uint64_t now_ms)
{
    arm(conn, now_ms, FIRST_LOOK_MS);
}

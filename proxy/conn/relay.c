#include "proxy/conn/relay.h"

#include <errno.h>
#include <event2/event.h>

#include "base/clock.h"
#include "base/macros.h"
#include "proxy/conn/announce.h"
#include "proxy/conn/conn.h"
#include "proxy/conn/connect.h"
#include "proxy/conn/detect.h"
#include "proxy/conn/fault.h"
#include "proxy/conn/peek.h"
#include "proxy/conn/replay.h"
#include "proxy/conn/secure.h"
#include "proxy/conn/timeouts.h"
#include "proxy/net/sockopt.h"
#include "proxy/worker/worker.h"

/* How often CUTTING looks whether the last bytes have arrived, and how long it waits without progress. */
#define CUT_POLL_MS 10
#define CUT_WAIT_MS 1000

/* How long ENDING lasts. */
#define ENDING_MS 100

static struct side *other_side(struct conn *conn, const struct side *side)
{
    return side == &conn->client ? &conn->upstream : &conn->client;
}

/* The direction whose bytes come from `side`. */
static struct conn_direction *direction_from(struct conn *conn, const struct side *side)
{
    return side == &conn->client ? &conn->to_upstream : &conn->to_client;
}

/* What a side must be watched for follows from the two directions alone. */
static enum transport_interest interest_of(struct conn *conn, const struct side *side)
{
    const struct conn_direction *from = direction_from(conn, side), *to = direction_from(conn, other_side(conn, side));
    bool read = from->flow == FLOW_OPEN && !from->pump.full && !(conn->fault && fault_holds(conn, from));
    bool write = !chunk_queue_is_empty(&to->pump.queue) || side->transport.owed_bytes > 0;

    if (read)
        return write ? TRANSPORT_READ_WRITE : TRANSPORT_READ;
    if (write)
        return TRANSPORT_WRITE;
    /* Nearly always the other end follows at once: a watch, which costs four system calls, waits until it did not. */
    return conn->state == CONN_ENDING && side->transport.interest != TRANSPORT_WATCH ? TRANSPORT_NOTHING
                                                                                     : TRANSPORT_WATCH;
}

static int update_interests(struct conn *conn)
{
    int r = 0;

    if (transport_is_open(&conn->upstream.transport))
        r = transport_set_interest(&conn->upstream.transport, interest_of(conn, &conn->upstream));
    if (r == 0 && transport_is_open(&conn->client.transport))
        r = transport_set_interest(&conn->client.transport, interest_of(conn, &conn->client));
    return r;
}

static enum end_reason reason_of_cut(struct conn *conn, const struct side *side, int error)
{
    bool dead = error == -ETIMEDOUT || error == -EHOSTUNREACH || error == -ENETUNREACH;

    if (side == &conn->client)
        return dead ? END_CLIENT_DEAD : END_CLIENT_RESET;
    return dead ? END_UPSTREAM_DEAD : END_UPSTREAM_RESET;
}

/* In CUTTING: the cut side's last bytes have all been passed on and acknowledged. */
static bool cut_is_delivered(struct conn *conn, const struct conn_direction *from, uint64_t now_ms)
{
    unsigned unacknowledged = sockopt_unacknowledged(conn->survivor->transport.fd);

    if (unacknowledged < conn->cut_unacknowledged)
        conn->last_byte_ms = now_ms; /* slow, but taking it */
    conn->cut_unacknowledged = unacknowledged;
    return from->flow != FLOW_OPEN && chunk_queue_is_empty(&from->pump.queue) &&
           conn->survivor->transport.owed_bytes == 0 && unacknowledged == 0;
}

static void continue_cut(struct conn *conn, uint64_t now_ms)
{
    const struct conn_direction *from = direction_from(conn, other_side(conn, conn->survivor));

    if (cut_is_delivered(conn, from, now_ms) || now_ms - conn->last_byte_ms >= CUT_WAIT_MS) {
        conn_end(conn, conn->ends_for);
        return;
    }
    if (update_interests(conn) < 0) {
        conn_end(conn, END_NO_MEMORY);
        return;
    }
    timers_arm_exact(&conn->worker->timers, &conn->timer, now_ms + CUT_POLL_MS);
}

void relay_on_cut_timer(struct conn *conn, uint64_t now_ms)
{
    continue_cut(conn, now_ms);
}

/*
 * `side` was cut. What it sent before still goes to the other side, then RST; what was on its way to it is dropped.
 * `exhausted`: a read found the cut, so nothing of it is left in the kernel. A write may find it earlier.
 */
static void begin_cutting(struct conn *conn, struct side *side, enum end_reason reason, bool exhausted, uint64_t now_ms)
{
    struct conn_direction *from = direction_from(conn, side), *to = direction_from(conn, other_side(conn, side));

    conn_move(conn, CONN_CUTTING);
    conn->survivor = other_side(conn, side);
    conn->ends_for = reason;
    conn->last_byte_ms = now_ms;
    pump_discard(&to->pump, &conn->worker->means);
    to->flow = FLOW_ENDED;
    if (exhausted) {
        secure_keep_peer(side);
        transport_close(&side->transport, TRANSPORT_CLOSE_RESET);
        if (from->flow == FLOW_OPEN)
            from->flow = FLOW_ENDING;
    }
    continue_cut(conn, now_ms);
}

/* The same where a read or write found the cut: it may be tried again, or be the second one. */
static void cut(struct conn *conn, struct side *side, int error, bool exhausted, uint64_t now_ms)
{
    if (conn->state == CONN_CUTTING) {
        if (side == conn->survivor)
            conn_end(conn, conn->ends_for);
        return;
    }
    if (side == &conn->upstream && connect_retries_cut(conn, now_ms))
        return;
    begin_cutting(conn, side, reason_of_cut(conn, side, error), exhausted, now_ms);
}

/* The reply has begun (or ended): from now on nothing is tried again. */
static void leave_awaiting_reply(struct conn *conn, uint64_t now_ms)
{
    struct worker *worker = conn->worker;

    if (conn->to_client.pump.bytes == 0 && conn->to_client.flow == FLOW_OPEN)
        return;
    replay_free(conn->to_upstream.pump.replay, &worker->means.budget);
    conn->to_upstream.pump.replay = NULL;
    connect_answered(conn, now_ms);
    if (conn->to_client.pump.bytes > 0) {
        conn->account.first_byte_ms = (uint32_t)(now_ms - conn->connected_ms);
        histogram_add(&conn->counters->first_byte, conn->account.first_byte_ms);
    }
    conn_move(conn, CONN_ESTABLISHED);
}

/* An injected fault: as if the network had cut `side` behind what was read of it. */
static void cut_by_fault(struct conn *conn, struct side *side, uint64_t now_ms)
{
    counter_add(&conn->counters->faults[FAULT_RESET], 1);
    if (conn->state == CONN_AWAITING_REPLY)
        leave_awaiting_reply(conn, now_ms);
    begin_cutting(conn, side, END_FAULT_RESET, true, now_ms);
}

static bool has_end_to_pass(const struct conn_direction *direction)
{
    return direction->flow == FLOW_ENDING && chunk_queue_is_empty(&direction->pump.queue);
}

/* The orderly end of the direction needs nothing any more than that `sink` is closed. */
static bool ends_with_close(const struct conn_direction *direction, const struct side *sink)
{
    return direction->flow == FLOW_ENDED || (has_end_to_pass(direction) && transport_close_finishes(&sink->transport));
}

/*
 * Passes on the orderly end of a direction that has one to pass. Returns 0 or a negative errno of the sink. TLS may owe
 * its end: then it is passed on once that was sent. The last end of all is left to conn_end(), which counts it before
 * anybody sees it; here it is only asked whether the sink was cut meanwhile.
 */
static int pass_end(const struct conn *conn, struct conn_direction *direction, struct side *sink)
{
    bool is_last = ends_with_close(&conn->to_upstream, &conn->upstream) &&
                   ends_with_close(&conn->to_client, &conn->client);
    int r = is_last ? sink->transport.ops->cut_error(&sink->transport)
                    : sink->transport.ops->shut_write(&sink->transport);

    if (r == -EAGAIN)
        return 0;
    if (r < 0)
        return r;
    direction->flow = FLOW_ENDED;
    return 0;
}

static bool is_open_and_idle(const struct conn_direction *direction)
{
    return direction->flow == FLOW_OPEN && chunk_queue_is_empty(&direction->pump.queue) && !direction->pump.full;
}

static bool is_read(const struct transport *transport)
{
    return transport->interest == TRANSPORT_READ && transport->owed_bytes == 0 && !transport->has_more;
}

/* Nothing has ended, nothing waits, and both sides are asked for what they have: the usual outcome of a turn. */
static bool is_settled(const struct conn *conn)
{
    return conn->state == CONN_ESTABLISHED && !conn->fault && is_open_and_idle(&conn->to_upstream) &&
           is_open_and_idle(&conn->to_client) && is_read(&conn->client.transport) && is_read(&conn->upstream.transport);
}

/* After every turn: passes on endings, moves the state, and asks for the events that the new state needs. */
static void settle(struct conn *conn, uint64_t now_ms)
{
    if (is_settled(conn))
        return;
    if (conn->state == CONN_CUTTING) {
        continue_cut(conn, now_ms);
        return;
    }
    if (conn->state == CONN_AWAITING_REPLY)
        leave_awaiting_reply(conn, now_ms);
    if (has_end_to_pass(&conn->to_upstream) && pass_end(conn, &conn->to_upstream, &conn->upstream) < 0) {
        cut(conn, &conn->upstream, -ECONNRESET, false, now_ms);
        return;
    }
    if (has_end_to_pass(&conn->to_client) && pass_end(conn, &conn->to_client, &conn->client) < 0) {
        cut(conn, &conn->client, -ECONNRESET, false, now_ms);
        return;
    }
    if (conn->to_upstream.flow == FLOW_ENDED && conn->to_client.flow == FLOW_ENDED) {
        conn_end(conn, END_COMPLETED);
        return;
    }
    if (conn->state == CONN_ESTABLISHED &&
        (conn->to_upstream.flow == FLOW_ENDED || conn->to_client.flow == FLOW_ENDED)) {
        conn_move(conn, CONN_ENDING);
        timers_arm_lazy(&conn->worker->timers, &conn->timer, now_ms + ENDING_MS, now_ms);
    }
    if (update_interests(conn) < 0)
        conn_end(conn, END_NO_MEMORY);
}

void relay_on_ending_timer(struct conn *conn, uint64_t now_ms)
{
    conn_move(conn, CONN_HALF_CLOSED);
    if (update_interests(conn) < 0)
        conn_end(conn, END_NO_MEMORY);
    else
        timeouts_begin(conn, now_ms);
}

/* Acts on what a pump found. Returns false when the connection was cut, tried again or ended. */
static bool accept_result(struct conn *conn, struct side *source, struct side *sink, enum pump_result result, int error,
                          uint64_t now_ms)
{
    switch (result) {
    case PUMP_WAITS:
        return true;
    case PUMP_SOURCE_END:
        if (direction_from(conn, source)->flow == FLOW_OPEN)
            direction_from(conn, source)->flow = FLOW_ENDING;
        if (conn->account.first_end == END_BY_EITHER)
            conn->account.first_end = source == &conn->client ? END_BY_CLIENT : END_BY_UPSTREAM;
        return true;
    case PUMP_SOURCE_CUT:
        if (conn->state == CONN_CUTTING) { /* the cut side's last bytes have been read */
            direction_from(conn, source)->flow = FLOW_ENDING;
            return true;
        }
        cut(conn, source, error, true, now_ms);
        return false;
    case PUMP_SINK_CUT:
        cut(conn, sink, error, false, now_ms);
        return false;
    case PUMP_NO_MEMORY:
        conn_end(conn, END_NO_MEMORY);
        return false;
    }
    return false;
}

static void count_bytes(struct conn *conn, const struct side *source, uint64_t bytes)
{
    counter_add(source == &conn->client ? &conn->counters->bytes_to_upstream : &conn->counters->bytes_to_client, bytes);
}

/* Reads from `source` and writes to the other side. Returns as accept_result(). */
static bool fill(struct conn *conn, struct side *source, bool end_follows, uint64_t now_ms)
{
    struct side *sink = other_side(conn, source);
    struct conn_direction *direction = direction_from(conn, source);
    uint64_t before = direction->pump.bytes;
    enum pump_result result;
    size_t most = SIZE_MAX;
    int error = 0;

    if (conn->fault)
        most = fault_allowance(conn, direction, now_ms);
    result = pump_fill(&direction->pump, &source->transport, &sink->transport, most, end_follows, &conn->worker->means,
                       &error);
    if (conn->fault)
        fault_count(conn, direction, (size_t)(direction->pump.bytes - before), now_ms);
    if (direction->pump.bytes != before) {
        count_bytes(conn, source, direction->pump.bytes - before);
        conn->last_byte_ms = now_ms;
        sink->written = true;
    }
    if (conn->fault && (result == PUMP_WAITS || result == PUMP_SOURCE_END) && fault_reset_is_due(conn)) {
        cut_by_fault(conn, source, now_ms);
        return false;
    }
    return accept_result(conn, source, sink, result, error, now_ms);
}

/* Writes to `sink` what is owed to it. */
static bool flush(struct conn *conn, struct side *sink, uint64_t now_ms)
{
    struct side *source = other_side(conn, sink);
    struct pump *pump = &direction_from(conn, source)->pump;
    size_t before = pump->queue.length + sink->transport.owed_bytes;
    enum pump_result result;
    int error = 0;

    result = pump_flush(pump, &sink->transport, &conn->worker->means, &error);
    if (pump->queue.length + sink->transport.owed_bytes != before) {
        conn->last_byte_ms = now_ms;
        sink->written = true;
    }
    return accept_result(conn, source, sink, result, error, now_ms);
}

static void on_side(struct conn *conn, struct side *side, short what)
{
    uint64_t now_ms = clock_now_ms();
    struct conn_direction *from = direction_from(conn, side), *to = direction_from(conn, other_side(conn, side));

    if (what & EV_WRITE) {
        if (!chunk_queue_is_empty(&to->pump.queue) || side->transport.owed_bytes > 0) {
            if (!flush(conn, side, now_ms))
                return;
        } else if (conn->state != CONN_CUTTING && side->transport.interest == TRANSPORT_WATCH) {
            int error = side->transport.ops->cut_error(&side->transport);

            if (error < 0) {
                cut(conn, side, error, from->flow != FLOW_OPEN, now_ms);
                return;
            }
        }
    }
    if ((what & EV_READ) && from->flow == FLOW_OPEN && !from->pump.full) {
        /*
         * Bytes may wait for the end only where it is passed on in this turn (not while CUTTING). The last bytes of a
         * whole connection go first: what the sink answers to them, RST if it is closed, tells whether it was
         * completed.
         */
        bool end_follows = (what & EV_CLOSED) && conn->state != CONN_CUTTING && to->flow == FLOW_OPEN;

        if (!fill(conn, side, end_follows, now_ms))
            return;
    }
    settle(conn, now_ms);
}

void relay_on_upstream(evutil_socket_t fd, short what, void *argument)
{
    struct conn *conn = argument;

    (void)fd;
    if (conn->state >= CONN_AWAITING_REPLY)
        on_side(conn, &conn->upstream, what);
    else if (conn->state == CONN_DETECTING) /* else (SECURING) it waits in the kernel until the client is known */
        detect_on_upstream(conn);
}

void relay_on_client(evutil_socket_t fd, short what, void *argument)
{
    struct conn *conn = argument;

    (void)fd;
    if (conn->state >= CONN_AWAITING_REPLY) {
        on_side(conn, &conn->client, what);
        return;
    }
    switch (conn->state) {
    case CONN_PEEKING:
        peek_on_client(conn, what);
        return;
    case CONN_ANNOUNCING:
        announce_on_client(conn, what);
        return;
    case CONN_AWAITING_HELLO:
    case CONN_DETECTING:
    case CONN_REFUSING:
        detect_on_client(conn, what);
        return;
    case CONN_SECURING:
        secure_on_client(conn);
        return;
    default:
        break;
    }
    if (conn->client.transport.ops->cut_error(&conn->client.transport) < 0) {
        conn_end(conn, END_CLIENT_GONE);
        return;
    }
    if (what & EV_READ) /* its bytes, or its FIN, wait in the kernel */
        relay_watch_client(conn);
}

void relay_watch_client(struct conn *conn)
{
    bool is_new = conn->client.transport.interest == TRANSPORT_NOTHING;

    /* A new client is asked for as it will be needed next; what waits already changes that to a watch. */
    if (transport_set_interest(&conn->client.transport, is_new ? TRANSPORT_READ : TRANSPORT_WATCH) < 0)
        conn_end(conn, END_NO_MEMORY);
}

void relay_begin_cut(struct conn *conn, int error, uint64_t now_ms)
{
    cut(conn, &conn->upstream, error, false, now_ms);
}

void relay_begin(struct conn *conn, uint64_t now_ms)
{
    conn->last_byte_ms = now_ms;
    timeouts_begin(conn, now_ms);
    if (conn->fault && fault_reset_is_due(conn))
        cut_by_fault(conn, &conn->upstream, now_ms);
    else if (flush(conn, &conn->upstream, now_ms))
        settle(conn, now_ms);
}

void relay_go_on(struct conn *conn, uint64_t now_ms)
{
    if (conn->state >= CONN_AWAITING_REPLY)
        settle(conn, now_ms);
}

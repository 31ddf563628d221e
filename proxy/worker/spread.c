#include "proxy/worker/spread.h"

#include "base/clock.h"
#include "base/macros.h"
#include "proxy/conn/conn.h"
#include "proxy/worker/worker.h"

#define TICK_MS  100
#define QUIET_MS 100 /* without a byte: the peers are between two exchanges, as far as can be told */

/* Outbound ones are for the app's own shutdown. */
static bool is_to_end(const struct conn *conn)
{
    return conn->direction != DIRECTION_OUTBOUND && conn->state != CONN_CUTTING;
}

static unsigned count(const struct worker *worker)
{
    unsigned left = 0;

    for (struct list_node *node = worker->connections.next; node != &worker->connections; node = node->next)
        left += is_to_end(CONTAINER_OF(node, struct conn, in_worker));
    return left;
}

/* Ends up to `most`; returns how many of them are left to be ended. */
static unsigned end_some(struct worker *worker, unsigned most, uint64_t quiet_ms, uint64_t now_ms)
{
    struct list_node *next;

    for (struct list_node *node = worker->connections.next; most > 0 && node != &worker->connections; node = next) {
        struct conn *conn = CONTAINER_OF(node, struct conn, in_worker);

        next = node->next;
        if (!is_to_end(conn) || now_ms - conn->last_byte_ms < quiet_ms)
            continue;
        conn_end(conn, END_DRAIN_SPREAD);
        most--;
    }
    return most;
}

static void on_tick(struct timer *timer, uint64_t now_ms)
{
    struct worker *worker = CONTAINER_OF(timer, struct worker, spread_timer);
    uint64_t left_ms = worker->spread_ends_ms > now_ms ? worker->spread_ends_ms - now_ms : 0;
    unsigned due = count(worker) / (unsigned)(left_ms / TICK_MS + 1);

    /* With few connections and much time: one now and then, each tick with the probability that makes it even. */
    if (random_below(&worker->random, left_ms / TICK_MS + 1) < count(worker) % (left_ms / TICK_MS + 1))
        due++;
    due = end_some(worker, due, QUIET_MS, now_ms);
    end_some(worker, due, 0, now_ms);
    if (left_ms > 0)
        timers_arm_exact(&worker->timers, timer, now_ms + TICK_MS);
}

void spread_init(struct worker *worker)
{
    worker->spread_timer.fire = on_tick;
}

void spread_begin(struct worker *worker)
{
    uint64_t now_ms = clock_now_ms();

    worker->spread_ends_ms = now_ms + worker->snapshot->config->drain.spread_ms;
    timers_arm_exact(&worker->timers, &worker->spread_timer, now_ms + TICK_MS);
}

void spread_stop(struct worker *worker)
{
    timers_cancel(&worker->timers, &worker->spread_timer);
}

#include "proxy/conn/fault.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/macros.h"
#include "proxy/conn/conn.h"
#include "proxy/conn/connect.h"
#include "proxy/conn/relay.h"
#include "proxy/worker/worker.h"

static void count(struct conn *conn, enum fault_kind kind)
{
    counter_add(&conn->counters->faults[kind], 1);
}

static void on_timer(struct timer *timer, uint64_t now_ms)
{
    struct fault *fault = CONTAINER_OF(timer, struct fault, timer);

    fault->to_upstream_is_held = false;
    fault->to_client_is_held = false;
    relay_go_on(fault->conn, now_ms);
}

/* What is left of the plan once the delay is over. */
static void go_on(struct conn *conn)
{
    if (conn->fault->plan.kinds[FAULT_REFUSE]) {
        count(conn, FAULT_REFUSE);
        conn_refuse(conn, END_FAULT_REFUSE);
        return;
    }
    if (conn->fault->plan.kinds[FAULT_BANDWIDTH]) {
        uint64_t now_ms = clock_now_ms();

        count(conn, FAULT_BANDWIDTH);
        fault_pace_init(&conn->fault->to_upstream, conn->fault->plan.bytes_per_second, now_ms);
        fault_pace_init(&conn->fault->to_client, conn->fault->plan.bytes_per_second, now_ms);
    }
    connect_find_place(conn);
}

void fault_begin(struct conn *conn)
{
    struct fault_plan plan;
    bool any = false;

    faults_draw(&conn->cluster->state->faults, &conn->worker->random, &plan);
    for (enum fault_kind kind = 0; kind < FAULT_KIND_COUNT; kind++)
        any |= plan.kinds[kind];
    if (any)
        conn->fault = calloc(1, sizeof *conn->fault);
    if (!conn->fault) { /* none for this one, or no memory for any */
        connect_find_place(conn);
        return;
    }
    conn->fault->conn = conn;
    conn->fault->plan = plan;
    conn->fault->timer.fire = on_timer;
    if (!plan.kinds[FAULT_DELAY]) {
        go_on(conn);
        return;
    }
    count(conn, FAULT_DELAY);
    conn_move(conn, CONN_FAULT_DELAYED);
    timers_arm_exact(&conn->worker->timers, &conn->timer, clock_now_ms() + plan.delay_ms);
    relay_watch_client(conn);
}

void fault_on_delay_over(struct conn *conn)
{
    go_on(conn);
}

static struct fault_pace *pace_of(struct conn *conn, const struct conn_direction *direction)
{
    return direction == &conn->to_upstream ? &conn->fault->to_upstream : &conn->fault->to_client;
}

static uint64_t bytes_of(const struct conn *conn)
{
    return conn->to_upstream.pump.bytes + conn->to_client.pump.bytes;
}

size_t fault_allowance(struct conn *conn, const struct conn_direction *direction, uint64_t now_ms)
{
    const struct fault_plan *plan = &conn->fault->plan;
    size_t most = SIZE_MAX;

    if (conn->state == CONN_CUTTING) /* what was sent before a cut still goes through */
        return most;
    if (plan->kinds[FAULT_RESET])
        most = (size_t)(plan->reset_after - MIN(plan->reset_after, bytes_of(conn)));
    if (plan->kinds[FAULT_BANDWIDTH])
        most = MIN(most, fault_pace_allowance(pace_of(conn, direction), now_ms));
    return most;
}

void fault_count(struct conn *conn, const struct conn_direction *direction, size_t bytes, uint64_t now_ms)
{
    struct fault *fault = conn->fault;
    struct fault_pace *pace = pace_of(conn, direction);

    if (!fault->plan.kinds[FAULT_BANDWIDTH] || conn->state == CONN_CUTTING)
        return;
    fault_pace_take(pace, bytes);
    if (fault_pace_allowance(pace, now_ms) > 0)
        return;
    if (direction == &conn->to_upstream)
        fault->to_upstream_is_held = true;
    else
        fault->to_client_is_held = true;
    if (fault->timer.place == TIMER_IDLE)
        timers_arm_exact(&conn->worker->timers, &fault->timer, now_ms + fault_pace_wait_ms(pace));
}

bool fault_holds(const struct conn *conn, const struct conn_direction *direction)
{
    return conn->state != CONN_CUTTING &&
           (direction == &conn->to_upstream ? conn->fault->to_upstream_is_held : conn->fault->to_client_is_held);
}

bool fault_reset_is_due(const struct conn *conn)
{
    const struct fault_plan *plan = &conn->fault->plan;

    return plan->kinds[FAULT_RESET] && bytes_of(conn) >= plan->reset_after && conn->state != CONN_CUTTING;
}

void fault_end(struct conn *conn)
{
    if (!conn->fault)
        return;
    timers_cancel(&conn->worker->timers, &conn->fault->timer);
    free(conn->fault);
    conn->fault = NULL;
}

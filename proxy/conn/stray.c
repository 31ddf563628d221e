#include "proxy/conn/stray.h"

#include <errno.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/macros.h"
#include "proxy/conn/attempt.h"
#include "proxy/conn/conn.h"
#include "proxy/conn/failure.h"
#include "proxy/net/dialer.h"
#include "proxy/worker/worker.h"

struct stray {
    struct list_node in_worker;
    struct worker *worker;
    struct snapshot *snapshot; /* the stray is one of its users */
    struct cluster *cluster;   /* of the snapshot */
    struct counters *counters;
    struct transport transport;
    struct attempt_target target;
    struct timer timer;
};

/* `error` 0: it is there, which is no success yet. */
static void end(struct stray *stray, int error, uint64_t now_ms)
{
    struct worker *worker = stray->worker;

    if (error < 0) {
        counter_add(&stray->counters->connect_failures[failure_cause(error)], 1);
        atomic_fetch_add_explicit(&stray->target.endpoint->connect_failures, 1, memory_order_relaxed);
        if (attempt_counts_connect(stray->cluster, &stray->target, failure_cause(error), error))
            cluster_report_failure(stray->cluster, &stray->target, &worker->random, now_ms);
    }
    timers_cancel(&worker->timers, &stray->timer);
    transport_close(&stray->transport, TRANSPORT_CLOSE_RESET);
    cluster_let_go(&stray->target, now_ms);
    list_remove(&stray->in_worker);
    limits_give(&worker->shared->limits.strays);
    snapshot_unref(stray->snapshot);
    free(stray);
}

static void on_event(evutil_socket_t fd, short what, void *argument)
{
    (void)what;
    end(argument, dialer_result(fd), clock_now_ms());
}

static void on_timer(struct timer *timer, uint64_t now_ms)
{
    end(CONTAINER_OF(timer, struct stray, timer), -ETIMEDOUT, now_ms);
}

/* One that is in its TLS handshake is connected: nothing more is to be learnt. */
void stray_begin(struct conn *conn, struct transport *transport, struct attempt_target *target, uint64_t deadline_ms)
{
    struct worker *worker = conn->worker;
    bool has_place = !transport->carrier && limits_take(&worker->shared->limits.strays, LIMITS_MOST_STRAYS);
    struct stray *stray = has_place ? calloc(1, sizeof *stray) : NULL;

    transport_set_interest(transport, TRANSPORT_NOTHING);
    if (!stray) {
        if (has_place)
            limits_give(&worker->shared->limits.strays);
        transport_close(transport, TRANSPORT_CLOSE_RESET);
        cluster_let_go(target, clock_now_ms());
        return;
    }
    stray->worker = worker;
    stray->snapshot = conn->snapshot;
    snapshot_ref(stray->snapshot);
    stray->cluster = conn->cluster;
    stray->counters = conn->counters;
    stray->target = *target;
    *target = (struct attempt_target){ 0 };
    stray->timer.fire = on_timer;
    list_append(&worker->strays, &stray->in_worker);
    transport_move(&stray->transport, transport, on_event, stray);
    timers_arm_exact(&worker->timers, &stray->timer, deadline_ms);
    if (transport_set_interest(&stray->transport, TRANSPORT_WRITE) < 0)
        end(stray, 0, clock_now_ms());
}

void strays_end(struct worker *worker)
{
    while (!list_is_empty(&worker->strays))
        end(CONTAINER_OF(worker->strays.next, struct stray, in_worker), 0, clock_now_ms());
}

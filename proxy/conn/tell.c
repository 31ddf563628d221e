#include "proxy/conn/tell.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/macros.h"
#include "proxy/conn/announce.h"
#include "proxy/conn/conn.h"
#include "proxy/observe/trace.h"
#include "proxy/worker/worker.h"

static bool is_watched(const struct conn *conn)
{
    return trace_is_on(conn->worker->shared->trace);
}

static void begin(const struct conn *conn, struct trace_step *ret_step)
{
    *ret_step = (struct trace_step){ .time_s = clock_wall_seconds(),
                                     .id = conn->account.id,
                                     .worker = conn->worker->index };
    snprintf(ret_step->cluster, sizeof ret_step->cluster, "%s", conn->cluster->config->name);
}

/* What is worth knowing of the state that it comes to. */
static void describe(const struct conn *conn, enum conn_state to, struct trace_step *step)
{
    char text[SOCKADDR_TEXT_SIZE], other[SOCKADDR_TEXT_SIZE];
    union inet_address client;

    if (conn->state == CONN_NEW) {
        client = announce_client(conn);
        snprintf(step->detail, sizeof step->detail, "from %s%s%s", sockaddr_format(&client.any, text),
                 conn->original.family == AF_UNSPEC ? "" : " to ",
                 conn->original.family == AF_UNSPEC ? "" : sockaddr_format(&conn->original.any, other));
    } else if (to == CONN_AWAITING_REPLY || to == CONN_CONNECTING) {
        if (conn->target.endpoint)
            snprintf(step->detail, sizeof step->detail, "attempt %u, %s", conn->attempt + 1,
                     sockaddr_format(&conn->target.endpoint->address.any, text));
    }
}

void tell_move(const struct conn *conn, enum conn_state to)
{
    struct trace_step step;

    if (!is_watched(conn))
        return;
    begin(conn, &step);
    step.from = conn_state_name(conn->state);
    step.to = conn_state_name(to);
    describe(conn, to, &step);
    trace_keep(conn->worker->shared->trace, &step);
}

void tell_end(const struct conn *conn, enum end_reason reason)
{
    struct trace_step step;

    if (!is_watched(conn))
        return;
    begin(conn, &step);
    step.from = conn_state_name(conn->state);
    step.to = conn_state_name(CONN_CLOSED);
    snprintf(step.detail, sizeof step.detail,
             "%s, %" PRIu64 " bytes from client, %" PRIu64 " from upstream, %" PRIu64 " ms", end_reason_name(reason),
             conn->to_upstream.pump.bytes, conn->to_client.pump.bytes, clock_now_ms() - conn->started_ms);
    trace_keep(conn->worker->shared->trace, &step);
}

void tell_failure(const struct conn *conn, const char *destination, const char *what)
{
    struct trace_step step;

    if (!is_watched(conn))
        return;
    begin(conn, &step);
    snprintf(step.detail, sizeof step.detail, "attempt %u at %.80s failed: %.60s", conn->attempt + 1, destination,
             what);
    trace_keep(conn->worker->shared->trace, &step);
}

#include "proxy/conn/account.h"

#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/macros.h"
#include "proxy/conn/announce.h"
#include "proxy/conn/conn.h"
#include "proxy/conn/secure.h"
#include "proxy/observe/access_log.h"
#include "proxy/worker/worker.h"

/* Lines for connections that are open come in so many parts of the interval, so that they do not come all at once. */
#define PARTS 16

#define WHOLE 10000 /* of sampling, in hundredths of a percent */

void account_begin(struct conn *conn)
{
    conn->account = (struct account){ .id = ++conn->worker->last_id,
                                      .connect_ms = ACCESS_NEVER,
                                      .first_byte_ms = ACCESS_NEVER,
                                      .client_tls_ms = ACCESS_NEVER,
                                      .upstream_tls_ms = ACCESS_NEVER,
                                      .first_end = END_BY_EITHER };
}

void account_failure(struct conn *conn, const struct attempt_target *target, enum connect_cause cause)
{
    struct account_failures *failures = conn->account.failures;
    struct access_failure *failure;

    if (!failures)
        failures = conn->account.failures = calloc(1, sizeof *failures);
    if (!failures || failures->count == ACCESS_MOST_FAILURES)
        return;
    failure = &failures->items[failures->count++];
    failure->cause = cause;
    if (!target->endpoint)
        failure->endpoint = conn->original;
    else if (target->endpoint->address.family != AF_UNIX)
        failure->endpoint = target->endpoint->address.inet;
}

static void copy_identity(const struct spiffe_id *identity, char *text)
{
    if (identity)
        snprintf(text, CONNECTION_VIEW_IDENTITY, "%.*s", (int)identity->length, identity->text);
}

static unsigned attempts_of(const struct conn *conn)
{
    return conn->account.has_dialled ? conn->attempt + 1 : 0;
}

void account_describe(const struct conn *conn, uint64_t now_ms, struct connection_view *ret_view)
{
    *ret_view = (struct connection_view){
        .id = conn->account.id,
        .direction = conn->direction,
        .state = conn_state_name(conn->state),
        .original = conn->original,
        .age_ms = now_ms - MIN(conn->started_ms, now_ms),
        .idle_ms = now_ms - MIN(conn->last_byte_ms, now_ms),
        .bytes_to_upstream = conn->to_upstream.pump.bytes,
        .bytes_to_client = conn->to_client.pump.bytes,
        .attempts = attempts_of(conn),
        .worker = conn->worker->index,
    };
    snprintf(ret_view->cluster, sizeof ret_view->cluster, "%s", conn->cluster->config->name);
    ret_view->client = announce_client(conn);
    copy_identity(secure_client(conn), ret_view->client_identity);
    copy_identity(secure_endpoint(conn), ret_view->endpoint_identity);
    if (conn->target.endpoint)
        ret_view->endpoint = conn->target.endpoint->address;
}

static struct access_text text_of(const struct spiffe_id *identity)
{
    return identity ? (struct access_text){ identity->text, identity->length } : (struct access_text){ 0 };
}

static enum end_party party_of(const struct conn *conn, enum end_reason reason)
{
    enum end_party party = end_reason_party(reason);

    return party == END_BY_EITHER ? conn->account.first_end : party;
}

static void write_line(const struct conn *conn, bool has_ended, enum end_reason reason, uint64_t now_ms)
{
    const struct account *account = &conn->account;
    struct access_record record = {
        .time_s = clock_wall_seconds(),
        .id = account->id,
        .worker = conn->worker->index,
        .direction = conn->direction,
        .cluster = conn->cluster->config->name,
        .state = conn_state_name(conn->state),
        .client = announce_client(conn),
        .original = conn->original,
        .endpoint = conn->target.endpoint ? &conn->target.endpoint->address.any : NULL,
        .attempts = attempts_of(conn),
        .failures = account->failures ? account->failures->items : NULL,
        .failure_count = account->failures ? account->failures->count : 0,
        .bytes_from_client = conn->to_upstream.pump.bytes,
        .bytes_from_upstream = conn->to_client.pump.bytes,
        .duration_ms = now_ms - MIN(conn->started_ms, now_ms),
        .connect_ms = account->connect_ms,
        .first_byte_ms = account->first_byte_ms,
        .client_tls_ms = account->client_tls_ms,
        .upstream_tls_ms = account->upstream_tls_ms,
        .client_identity = text_of(secure_client(conn)),
        .endpoint_identity = text_of(secure_endpoint(conn)),
        .has_ended = has_ended,
        .reason = reason,
        .ended_by = party_of(conn, reason),
    };
    char line[ACCESS_LINE_SIZE];
    size_t length = access_line_write(&record, line);

    access_log_write(conn->worker->shared->access_log, conn->worker->index, line, length,
                     has_ended && end_reason_is_abnormal(reason));
}

static bool has_line(struct worker *worker, enum end_reason reason)
{
    const struct access_log_config *config = &worker->snapshot->config->access_log;

    if (config->filter == ACCESS_LOG_NONE)
        return false;
    if (end_reason_is_abnormal(reason))
        return true;
    return config->filter == ACCESS_LOG_ALL &&
           (config->sampling == WHOLE || random_below(&worker->random, WHOLE) < config->sampling);
}

static void log_end(const struct conn *conn, enum end_reason reason)
{
    static const struct spiffe_id none = { .text = "none", .length = 4 };
    const struct spiffe_id *client = secure_client(conn), *endpoint = secure_endpoint(conn);
    char original[SOCKADDR_TEXT_SIZE], upstream[SOCKADDR_TEXT_SIZE];

    client = client ? client : &none;
    endpoint = endpoint ? endpoint : &none;
    log_debug("connection ended: %s, cluster %s, state %s, original destination %s, endpoint %s, attempts %u, bytes to "
              "upstream %lu, bytes to client %lu, client identity %.*s, endpoint identity %.*s",
              end_reason_name(reason), conn->cluster->config->name, conn_state_name(conn->state),
              sockaddr_format(&conn->original.any, original),
              conn->target.endpoint ? sockaddr_format(&conn->target.endpoint->address.any, upstream) : "none",
              conn->attempt + 1, (unsigned long)conn->to_upstream.pump.bytes, (unsigned long)conn->to_client.pump.bytes,
              (int)client->length, client->text, (int)endpoint->length, endpoint->text);
}

static void remember(struct conn *conn, enum end_reason reason, uint64_t now_ms)
{
    struct endings *endings = &conn->worker->endings;
    struct ending_view *view = &endings->views[endings->count++ % ENDINGS_MOST];

    account_describe(conn, now_ms, &view->connection);
    view->time_s = clock_wall_seconds();
    view->reason = reason;
    view->ended_by = party_of(conn, reason);
}

void account_end(struct conn *conn, enum end_reason reason, uint64_t now_ms)
{
    if (log_enabled(LOG_DEBUG))
        log_end(conn, reason);
    counter_add(&conn->counters->ended[reason], 1);
    histogram_add(&conn->counters->duration, now_ms - conn->started_ms);
    if (end_reason_is_abnormal(reason))
        remember(conn, reason, now_ms);
    if (has_line(conn->worker, reason))
        write_line(conn, true, reason, now_ms);
    free(conn->account.failures);
    conn->account.failures = NULL;
}

static void on_interval(evutil_socket_t fd, short what, void *argument)
{
    struct worker *worker = argument;
    uint64_t now_ms = clock_now_ms(), interval_ms = worker->snapshot->config->access_log.interval_ms;
    unsigned part = worker->account_part++ % PARTS;

    (void)fd;
    (void)what;
    for (struct list_node *node = worker->connections.next; node != &worker->connections; node = node->next) {
        const struct conn *conn = CONTAINER_OF(node, struct conn, in_worker);

        if (conn->account.id % PARTS == part && now_ms - conn->started_ms >= interval_ms)
            write_line(conn, false, END_COMPLETED, now_ms);
    }
}

void account_watch(struct worker *worker)
{
    const struct access_log_config *config = &worker->snapshot->config->access_log;
    uint64_t part_us = config->interval_ms * 1000 / PARTS;
    const struct timeval part = { .tv_sec = (time_t)(part_us / 1000000), .tv_usec = (suseconds_t)(part_us % 1000000) };

    if (!event_initialized(&worker->account_event))
        event_assign(&worker->account_event, worker->base, -1, EV_PERSIST, on_interval, worker);
    event_del(&worker->account_event);
    if (config->interval_ms > 0 && config->filter == ACCESS_LOG_ALL)
        event_add(&worker->account_event, &part);
}

#include "proxy/worker/worker.h"

#include <errno.h>
#include <event2/event.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/macros.h"
#include "proxy/conn/conn.h"
#include "proxy/conn/connect.h"
#include "proxy/conn/pending.h"
#include "proxy/conn/secure.h"
#include "proxy/conn/stray.h"
#include "proxy/net/sockopt.h"
#include "proxy/tls/credentials.h"
#include "proxy/tls/record_memory.h"
#include "proxy/worker/accept.h"
#include "proxy/worker/adopt.h"
#include "proxy/worker/listing.h"
#include "proxy/worker/spread.h"

#define HEARTBEAT_MS      1000
#define SCRATCH_ALIGNMENT 4096

static void on_heartbeat(evutil_socket_t fd, short what, void *argument)
{
    struct worker *worker = argument;
    uint64_t now_ms = clock_now_ms(), due_ms = worker->alive_ms + HEARTBEAT_MS;

    (void)fd;
    (void)what;
    histogram_add(&worker->lag, now_ms > due_ms ? now_ms - due_ms : 0);
    atomic_store_explicit(&worker->alive_ms, now_ms, memory_order_relaxed);
}

static void on_graves(evutil_socket_t fd, short what, void *argument)
{
    struct worker *worker = argument;

    (void)fd;
    (void)what;
    while (!list_is_empty(&worker->graves)) {
        struct conn *conn = CONTAINER_OF(worker->graves.next, struct conn, in_worker);

        list_remove(&conn->in_worker);
        free(conn);
    }
}

void worker_bury(struct worker *worker, struct list_node *node)
{
    if (list_is_empty(&worker->graves))
        event_active(&worker->graves_event, EV_TIMEOUT, 0);
    list_append(&worker->graves, node);
}

static void end_all(struct worker *worker)
{
    while (!list_is_empty(&worker->connections))
        conn_end(CONTAINER_OF(worker->connections.next, struct conn, in_worker), END_DRAIN_TIMEOUT);
}

/* Only connections that were there when the endpoint was lost; in panic others may have come since. */
static bool is_lost(const struct conn *conn, enum end_reason *ret_reason)
{
    const struct endpoint *endpoint = conn->target.endpoint;
    const struct cluster_config *config = conn->cluster->config;

    *ret_reason = END_ENDPOINT_REMOVED;
    if (atomic_load_explicit(&conn->snapshot->is_over, memory_order_relaxed))
        return true;
    if (!endpoint || conn->connected_ms == 0 ||
        conn->connected_ms > atomic_load_explicit(&endpoint->lost_ms, memory_order_relaxed))
        return false;
    if (config->close_on_removal && atomic_load_explicit(&endpoint->is_gone, memory_order_relaxed))
        return true;
    *ret_reason = END_UNHEALTHY;
    return config->close_on_unhealthy && atomic_load_explicit(&endpoint->is_down, memory_order_relaxed);
}

/* What waits for an attempt has its own timeout, and what has no answer yet may go to another endpoint. */
static void close_lost(struct worker *worker)
{
    uint64_t now_ms = clock_now_ms();
    struct list_node *next;

    for (struct list_node *node = worker->connections.next; node != &worker->connections; node = next) {
        struct conn *conn = CONTAINER_OF(node, struct conn, in_worker);
        enum end_reason reason;

        next = node->next;
        if (conn->state < CONN_AWAITING_REPLY || !is_lost(conn, &reason))
            continue;
        if (!connect_retries_cut(conn, now_ms))
            conn_end(conn, reason);
    }
}

/* Without memory the old ones stay; nothing is told of them, since the next rotation mends it. */
static void take_credentials(struct worker *worker)
{
    struct credentials *credentials = credential_slot_get(&worker->shared->credentials);

    if (credentials && !worker->carriers.in && carrier_means_init(&worker->carriers) < 0) {
        log_error("mutual TLS: no memory");
        carrier_means_done(&worker->carriers);
        credentials_unref(credentials);
        return;
    }
    if (!credentials) /* those there are go with the configuration that has them: see adopt_snapshot() */
        return;
    credentials_unref(worker->credentials);
    worker->credentials = credentials;
    if (credentials->parts.crls)
        secure_end_revoked(worker);
}

static void on_mail(evutil_socket_t fd, short what, void *argument)
{
    struct worker *worker = argument;
    struct list_node *grant;
    unsigned commands;
    struct mail mails[32];
    uint64_t wakes;
    size_t count;

    (void)what;
    (void)!read(fd, &wakes, sizeof wakes);
    commands = mailbox_take_commands(&worker->mailbox);
    if (commands & MAIL_EXIT) { /* what still comes in is reset by worker_done() */
        end_all(worker);
        event_base_loopbreak(worker->base);
        return;
    }
    if (commands & MAIL_CREDENTIALS)
        take_credentials(worker);
    if (commands & MAIL_CLOSE_LOST)
        close_lost(worker);
    if (commands & MAIL_LIST)
        listing_fill(worker);
    if (commands & MAIL_SPREAD)
        spread_begin(worker);
    if (commands & MAIL_STOP_SPREAD)
        spread_stop(worker);
    while ((grant = mailbox_take_grant(&worker->mailbox)))
        pending_on_grant(grant);
    while ((count = mailbox_take(&worker->mailbox, mails, ARRAY_SIZE(mails))) > 0) {
        for (size_t i = 0; i < count; i++)
            accept_take_over(worker, &mails[i], clock_now_ms());
    }
    if (commands & MAIL_ADOPT)
        adopt_snapshot(worker);
    if (commands & MAIL_LET_GO)
        accept_let_go(worker);
    if (commands & MAIL_STOP_INBOUND)
        accept_stop_inbound(worker);
}

int worker_init(struct worker *worker, unsigned index, struct worker_shared *shared)
{
    struct event_config *choice;
    int r;

    *worker = (struct worker){ .index = index, .shared = shared };
    worker->mailbox.event_fd = -1;
    list_init(&worker->connections);
    list_init(&worker->strays);
    list_init(&worker->graves);
    random_init_from_system(&worker->random);
    r = mailbox_init(&worker->mailbox);
    if (r < 0)
        return r;
    choice = event_config_new();
    if (choice) {
        event_config_set_flag(choice, EVENT_BASE_FLAG_NOLOCK);
        worker->base = event_base_new_with_config(choice);
        event_config_free(choice);
    }
    worker->means.scratch = aligned_alloc(SCRATCH_ALIGNMENT, PUMP_SCRATCH_SIZE);
    if (!worker->base || !worker->means.scratch)
        return -ENOMEM;
    worker->means.budget.memory = &shared->buffer_memory;
    worker->snapshot = atomic_load(&shared->snapshot);
    snapshot_ref(worker->snapshot);
    worker->means.most_queued = worker->snapshot->config->limits.buffer_per_connection_bytes;
    timers_init(&worker->timers, worker->base, clock_now_ms());
    event_assign(&worker->mail_event, worker->base, worker->mailbox.event_fd, EV_READ | EV_PERSIST, on_mail, worker);
    event_assign(&worker->heartbeat_event, worker->base, -1, EV_PERSIST, on_heartbeat, worker);
    event_assign(&worker->graves_event, worker->base, -1, 0, on_graves, worker);
    accept_init(worker);
    spread_init(worker);
    return 0;
}

/* Sockets that another worker handed over and that this one will not carry any more. */
static void reset_undelivered(struct worker *worker)
{
    struct mail mail;

    while (worker->mailbox.event_fd >= 0 && mailbox_take(&worker->mailbox, &mail, 1) == 1) {
        sockopt_reset_on_close(mail.fd);
        close(mail.fd);
        snapshot_unref(mail.snapshot);
    }
}

/* Every event must be out of the loop before its memory goes: the loop walks them when it is freed. */
void worker_done(struct worker *worker)
{
    end_all(worker);
    strays_end(worker);
    on_graves(-1, 0, worker);
    reset_undelivered(worker);
    for (size_t i = 0; worker->snapshot && i < worker->snapshot->listener_count; i++)
        accept_close(snapshot_socket(worker->snapshot, worker->index, i));
    timers_done(&worker->timers);
    buffer_budget_done(&worker->means.budget);
    router_view_done(&worker->routes);
    free(worker->means.scratch);
    carrier_means_done(&worker->carriers);
    credentials_unref(worker->credentials);
    if (worker->base)
        event_base_free(worker->base);
    if (worker->snapshot)
        snapshot_unref(worker->snapshot);
    if (worker->mailbox.event_fd >= 0)
        mailbox_done(&worker->mailbox);
}

static void *run(void *argument)
{
    struct worker *worker = argument;

    event_base_loop(worker->base, EVLOOP_NO_EXIT_ON_EMPTY);
    record_memory_done();
    return NULL;
}

int worker_start(struct worker *worker)
{
    struct timeval heartbeat = { .tv_sec = HEARTBEAT_MS / 1000 };
    sigset_t all, before;
    int r;

    atomic_store(&worker->alive_ms, clock_now_ms());
    if (event_add(&worker->mail_event, NULL) < 0 || event_add(&worker->heartbeat_event, &heartbeat) < 0)
        return -ENOMEM;
    sigfillset(&all); /* signals are the main thread's */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    r = -pthread_create(&worker->thread, NULL, run, worker);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    worker->started = r == 0;
    return r;
}

void worker_stop_inbound(struct worker *worker)
{
    mailbox_command(&worker->mailbox, MAIL_STOP_INBOUND);
}

void worker_adopt(struct worker *worker)
{
    mailbox_command(&worker->mailbox, MAIL_ADOPT);
}

void worker_take_credentials(struct worker *worker)
{
    mailbox_command(&worker->mailbox, MAIL_CREDENTIALS);
}

void worker_let_go_of_listeners(struct worker *worker)
{
    mailbox_command(&worker->mailbox, MAIL_LET_GO);
}

void worker_stop_spread(struct worker *worker)
{
    mailbox_command(&worker->mailbox, MAIL_STOP_SPREAD);
}

void worker_list(struct worker *worker)
{
    mailbox_command(&worker->mailbox, MAIL_LIST);
}

void worker_spread_ends(struct worker *worker)
{
    mailbox_command(&worker->mailbox, MAIL_SPREAD);
}

void worker_close_lost(struct worker *worker)
{
    mailbox_command(&worker->mailbox, MAIL_CLOSE_LOST);
}

void worker_ask_to_stop(struct worker *worker)
{
    mailbox_command(&worker->mailbox, MAIL_EXIT);
}

void worker_wait_for_stop(struct worker *worker)
{
    if (worker->started)
        pthread_join(worker->thread, NULL);
    worker->started = false;
}

#include "proxy/worker/accept.h"

#include <errno.h>
#include <event2/event.h>
#include <inttypes.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/macros.h"
#include "proxy/conn/conn.h"
#include "proxy/net/sockopt.h"
#include "proxy/worker/worker.h"

#define MOST_A_TURN    64
#define MOST_BACKLOG   8192 /* more than a listener's backlog: an end even under a flood */
#define PAUSE_FIRST_MS 10
#define PAUSE_MOST_MS  500
#define LOG_EVERY_MS   5000

static struct listener_socket *socket_of(const struct worker *worker, size_t listener)
{
    return snapshot_socket(worker->snapshot, worker->index, listener);
}

static int fd_of(const struct listener_socket *socket)
{
    return atomic_load_explicit(&socket->fd, memory_order_relaxed);
}

static bool is_paused(const struct worker *worker)
{
    return worker->accept_timer.place != TIMER_IDLE;
}

/* limits.accept_rate is for who comes from elsewhere: they do not hold up the app's own connections. */
static bool has_rate(const struct listener *listener)
{
    return listener->direction != DIRECTION_OUTBOUND;
}

static bool is_resting(const struct worker *worker, const struct listener *listener)
{
    return worker->rate_timer.place != TIMER_IDLE && has_rate(listener);
}

/* Watches it where it may accept now, and else not. */
static void watch(struct worker *worker, struct listener_socket *socket)
{
    if (is_paused(worker) || is_resting(worker, socket->listener)) {
        event_del(&socket->event);
    } else if (event_add(&socket->event, NULL) < 0) {
        log_error("listener %s: no memory", socket->listener->name);
        accept_close(socket);
    }
}

/* Who is watched first is served first: not always the same one, or its crowd would have every turn. */
static void watch_listeners(struct worker *worker)
{
    size_t count = worker->snapshot->listener_count;

    for (size_t i = 0; i < count; i++) {
        struct listener_socket *socket = socket_of(worker, (worker->rate_turn + i) % count);

        if (fd_of(socket) >= 0)
            watch(worker, socket);
    }
}

static void on_pause_over(struct timer *timer, uint64_t now_ms)
{
    (void)now_ms;
    watch_listeners(CONTAINER_OF(timer, struct worker, accept_timer));
}

static void on_rest_over(struct timer *timer, uint64_t now_ms)
{
    (void)now_ms;
    watch_listeners(CONTAINER_OF(timer, struct worker, rate_timer));
}

void accept_init(struct worker *worker)
{
    worker->accept_timer.fire = on_pause_over;
    worker->rate_timer.fire = on_rest_over;
}

/* Doubling, and random between half and whole, so that workers and processes do not wake together. */
void worker_pause_accepting(struct worker *worker, int error)
{
    uint64_t now_ms = clock_now_ms(), pause_ms;

    if (is_paused(worker))
        return;
    pause_ms = worker->accept_pause_ms == 0 ? PAUSE_FIRST_MS
                                            : MIN(worker->accept_pause_ms * 2, (uint64_t)PAUSE_MOST_MS);
    worker->accept_pause_ms = pause_ms;
    atomic_fetch_add_explicit(&worker->shared->limits.famine_pauses, 1, memory_order_relaxed);
    log_write_limited(LOG_WARNING, LOG_EVERY_MS, &worker->famine_logged_ms,
                      "accepting pauses: %s; lower limits.max_connections or raise the descriptor limit",
                      strerror(-error));
    timers_arm_exact(&worker->timers, &worker->accept_timer,
                     now_ms + pause_ms / 2 + random_below(&worker->random, pause_ms / 2 + 1));
    watch_listeners(worker);
}

static bool has_someone(const struct listener_socket *socket)
{
    struct pollfd poll_fd = { .fd = fd_of(socket), .events = POLLIN };

    return poll(&poll_fd, 1, 0) == 1;
}

/* The rate is used up. Whoever waits goes on waiting, in the kernel's queue; `was_served`: others there come first
 * then. */
static void rest(struct listener_socket *socket, bool was_served, uint64_t rest_ms, uint64_t now_ms)
{
    struct worker *worker = socket->worker;
    struct limits *limits = &worker->shared->limits;

    if (!has_someone(socket))
        return;
    atomic_fetch_add_explicit(&limits->rate_pauses, 1, memory_order_relaxed);
    log_write_limited(LOG_WARNING, LOG_EVERY_MS, &worker->rate_logged_ms,
                      "accepting rests: more than limits.accept_rate, %" PRIu64 " a second, have come",
                      (uint64_t)atomic_load_explicit(&limits->accept_rate.per_second, memory_order_relaxed));
    worker->rate_turn = (size_t)(socket->listener - worker->snapshot->listeners) + was_served;
    timers_arm_exact(&worker->timers, &worker->rate_timer, now_ms + rest_ms);
    watch_listeners(worker);
}

/* The worker to carry a new connection: this one, unless it has many more than the least busy. */
static struct worker *choose_worker(struct worker *worker)
{
    struct worker_shared *shared = worker->shared;
    struct worker *least = worker;
    unsigned mine = atomic_load_explicit(&worker->active, memory_order_relaxed), fewest = mine;

    for (unsigned i = 0; i < shared->count; i++) {
        unsigned active = atomic_load_explicit(&shared->workers[i].active, memory_order_relaxed);

        if (active < fewest) {
            fewest = active;
            least = &shared->workers[i];
        }
    }
    return mine > fewest + fewest / 10 + 8 ? least : worker;
}

static void begin_connection(struct worker *worker, const struct mail *accepted, uint64_t now_ms)
{
    if (conn_accept(worker, accepted, now_ms) == 0)
        return;
    atomic_fetch_sub_explicit(&worker->active, 1, memory_order_relaxed);
    log_write_limited(LOG_ERROR, LOG_EVERY_MS, &worker->failure_logged_ms,
                      "listener %s: a connection was dropped: no memory", accepted->listener->name);
}

void accept_take_over(struct worker *worker, const struct mail *mail, uint64_t now_ms)
{
    begin_connection(worker, mail, now_ms);
    snapshot_unref(mail->snapshot);
}

static void hand_out(struct listener_socket *socket, int fd, const union inet_address *client, uint64_t now_ms)
{
    struct worker *worker = socket->worker;
    struct worker *chosen = worker->shared->count > 1 ? choose_worker(worker) : worker;
    struct mail mail = { .fd = fd, .client = *client, .listener = socket->listener, .snapshot = worker->snapshot };

    /* Counted from here on, so that draining and the next choice see it on its way. */
    atomic_fetch_add_explicit(&chosen->active, 1, memory_order_relaxed);
    if (chosen == worker) {
        begin_connection(worker, &mail, now_ms);
        return;
    }
    snapshot_ref(mail.snapshot);
    if (mailbox_send(&chosen->mailbox, mail) == 0)
        return;
    snapshot_unref(mail.snapshot);
    atomic_fetch_sub_explicit(&chosen->active, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&worker->active, 1, memory_order_relaxed);
    begin_connection(worker, &mail, now_ms);
}

/* Errors of one connection that is gone before it was accepted (accept(2)). */
static bool is_passing(int error)
{
    return error == ECONNABORTED || error == EINTR || error == EPROTO || error == ENETDOWN || error == ENOPROTOOPT ||
           error == EHOSTDOWN || error == ENONET || error == EHOSTUNREACH || error == EOPNOTSUPP ||
           error == ENETUNREACH || error == EPERM;
}

void accept_close(struct listener_socket *socket)
{
    int fd = fd_of(socket);

    if (fd < 0)
        return;
    if (event_initialized(&socket->event))
        event_del(&socket->event);
    atomic_store_explicit(&socket->fd, -1, memory_order_relaxed);
    close(fd);
}

/* Accepts up to `most`; `rate` NULL: as fast as it can. Returns false when the backlog is empty, or accepting has to
 * stop. */
static bool accept_some(struct listener_socket *socket, unsigned most, struct accept_rate *rate)
{
    struct worker *worker = socket->worker;
    uint64_t now_ms = clock_now_ms();

    for (unsigned i = 0; i < most; i++) {
        union inet_address client = { 0 };
        socklen_t length = sizeof client;
        uint64_t taken_ns = 0, rest_ms = rate ? accept_rate_take(rate, now_ms, &taken_ns) : 0;
        int fd;

        if (rest_ms > 0) {
            rest(socket, i > 0, rest_ms, now_ms);
            return false;
        }
        fd = accept4(fd_of(socket), &client.any, &length, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            hand_out(socket, fd, &client, now_ms);
            if (is_paused(worker))
                return false; /* there was no descriptor for its upstream */
            worker->accept_pause_ms = 0;
            continue;
        }
        if (rate)
            accept_rate_give(rate, taken_ns);
        if (errno == EAGAIN)
            return false;
        if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
            worker_pause_accepting(worker, -errno);
            return false;
        }
        if (is_passing(errno))
            continue;
        /* Nothing will come of this socket any more, and its event would fire for ever. */
        log_error("listener %s: closed, accepting failed: %s", socket->listener->name, strerror(errno));
        accept_close(socket);
        return false;
    }
    return true;
}

static void on_acceptable(evutil_socket_t fd, short what, void *argument)
{
    struct listener_socket *socket = argument;
    struct accept_rate *rate = &socket->worker->shared->limits.accept_rate;
    bool is_limited = accept_rate_is_limited(rate) && has_rate(socket->listener);

    (void)fd;
    (void)what;
    accept_some(socket, MOST_A_TURN, is_limited ? rate : NULL);
}

void accept_begin(struct worker *worker)
{
    timers_cancel(&worker->timers, &worker->rate_timer); /* the rate may be another now */
    for (size_t i = 0; i < worker->snapshot->listener_count; i++) {
        struct listener_socket *socket = socket_of(worker, i);

        if (fd_of(socket) < 0)
            continue;
        event_assign(&socket->event, worker->base, fd_of(socket), EV_READ | EV_PERSIST, on_acceptable, socket);
        watch(worker, socket);
    }
}

void accept_drain(struct listener_socket *socket)
{
    if (fd_of(socket) < 0)
        return;
    for (unsigned turn = 0; turn < MOST_BACKLOG / MOST_A_TURN && accept_some(socket, MOST_A_TURN, NULL); turn++)
        continue;
    accept_close(socket);
}

void accept_let_go(struct worker *worker)
{
    for (size_t i = 0; i < worker->snapshot->listener_count; i++)
        accept_close(socket_of(worker, i));
    atomic_store_explicit(&worker->inbound_stopped, true, memory_order_release);
}

void accept_stop_inbound(struct worker *worker)
{
    for (size_t i = 0; i < worker->snapshot->listener_count; i++) {
        if (worker->snapshot->listeners[i].direction != DIRECTION_OUTBOUND)
            accept_drain(socket_of(worker, i));
    }
    atomic_store_explicit(&worker->inbound_stopped, true, memory_order_release);
}

#include "proxy/observe/access_log.h"

#include <errno.h>
#include <event2/event.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/macros.h"
#include "proxy/observe/access_line.h"
#include "proxy/observe/counters.h"
#include "proxy/observe/log_ring.h"
#include "proxy/observe/log_sink.h"
#include "proxy/tls/record_memory.h"
#include "proxy/upstream/dns.h"

#define MOST_SINKS  8  /* as `access_log.sinks` allows */
#define LINGER_MS   20 /* lines that come within it do not wake the thread */
#define MOST_A_TURN 4096
#define LAST_MS     1000

struct sink_set {
    struct log_sink *sinks[MOST_SINKS];
    size_t count;
};

struct access_log {
    struct log_ring *rings;
    unsigned ring_count;
    int wake_fd;
    atomic_bool is_asleep; /* whoever has a line must wake it */
    atomic_bool ends, reopens;
    _Atomic(struct sink_set *) next; /* from the main thread; NULL: nothing new */
    struct sink_set *set;            /* the log writer's */
    struct log_writer_means means;
    struct event wake, linger;
    pthread_t thread;
    bool is_started;
    uint64_t ends_ms; /* the log writer's: when it stops trying */
};

static void wake(struct access_log *log)
{
    const uint64_t one = 1;

    (void)!write(log->wake_fd, &one, sizeof one);
}

static void set_free(struct sink_set *set)
{
    for (size_t i = 0; set && i < set->count; i++)
        log_sink_free(set->sinks[i]);
    free(set);
}

/* Returns whether there was any line. */
static bool take_lines(struct access_log *log)
{
    char line[ACCESS_LINE_SIZE];
    bool is_abnormal, any = false;

    for (unsigned i = 0; i < log->ring_count; i++) {
        size_t length;

        for (unsigned turn = 0; turn < MOST_A_TURN && (length = log_ring_take(&log->rings[i], line, &is_abnormal)) > 0;
             turn++) {
            any = true;
            for (size_t sink = 0; sink < log->set->count; sink++)
                log_sink_add(log->set->sinks[sink], line, length - 1, is_abnormal);
        }
    }
    for (size_t sink = 0; any && sink < log->set->count; sink++)
        log->set->sinks[sink]->ops->flush(log->set->sinks[sink]);
    return any;
}

/*
 * The new sinks; what is in both is the old one, with all that it has. Lines of before still go to the old ones; where
 * there were none, to the new ones: workers may have had lines before this thread ran for the first time.
 */
static void change_sets(struct access_log *log)
{
    struct sink_set *next = atomic_exchange(&log->next, NULL), *before = log->set;

    if (!next)
        return;
    if (before->count > 0)
        take_lines(log);
    for (size_t i = 0; i < next->count; i++) {
        for (size_t j = 0; j < before->count; j++) {
            struct log_sink *old = before->sinks[j];

            if (!old || strcmp(old->key, next->sinks[i]->key) != 0)
                continue;
            log_sink_free(next->sinks[i]);
            next->sinks[i] = old;
            before->sinks[j] = NULL;
            break;
        }
        log_sink_begin(next->sinks[i], &log->means);
    }
    log->set = next;
    set_free(before);
}

static bool is_all_written(const struct access_log *log)
{
    for (size_t i = 0; i < log->set->count; i++) {
        if (log_queue_length(&log->set->sinks[i]->queue) > 0)
            return false;
    }
    return true;
}

static void reopen(struct access_log *log)
{
    for (size_t i = 0; i < log->set->count; i++) {
        if (log->set->sinks[i]->ops->reopen)
            log->set->sinks[i]->ops->reopen(log->set->sinks[i]);
    }
}

/* In the one order of all: either the worker sees that it must wake, or this sees the worker's line. */
static bool fell_asleep(struct access_log *log)
{
    atomic_store(&log->is_asleep, true);
    for (unsigned i = 0; i < log->ring_count; i++) {
        if (!log_ring_is_empty(&log->rings[i]))
            return false;
    }
    return true;
}

static void work(struct access_log *log)
{
    const struct timeval linger = { .tv_usec = LINGER_MS * 1000 };
    bool any, ends = atomic_load(&log->ends);

    change_sets(log);
    if (atomic_exchange(&log->reopens, false))
        reopen(log);
    any = take_lines(log);
    if (ends && log->ends_ms == 0)
        log->ends_ms = clock_now_ms() + LAST_MS;
    if (ends && !any && (is_all_written(log) || clock_now_ms() >= log->ends_ms))
        event_base_loopbreak(log->means.base);
    else if (any || ends || !fell_asleep(log))
        event_add(&log->linger, &linger);
}

static void on_wake(evutil_socket_t fd, short what, void *argument)
{
    uint64_t wakes;

    (void)what;
    (void)!read(fd, &wakes, sizeof wakes);
    work(argument);
}

static void on_linger(evutil_socket_t fd, short what, void *argument)
{
    struct access_log *log = argument;

    (void)fd;
    (void)what;
    atomic_store(&log->is_asleep, false);
    work(log);
}

static void *run(void *argument)
{
    struct access_log *log = argument;

    event_base_loop(log->means.base, EVLOOP_NO_EXIT_ON_EMPTY);
    set_free(log->set);
    log->set = NULL;
    record_memory_done();
    return NULL;
}

int access_log_new(unsigned workers, struct access_log **ret_log)
{
    struct access_log *log = calloc(1, sizeof *log);
    struct event_config *choice = event_config_new();
    int r = -ENOMEM;

    if (log && choice) {
        event_config_set_flag(choice, EVENT_BASE_FLAG_NOLOCK);
        log->means.base = event_base_new_with_config(choice);
        log->set = calloc(1, sizeof *log->set);
        log->rings = aligned_alloc(_Alignof(struct log_ring), workers * sizeof *log->rings);
        log->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        atomic_store(&log->is_asleep, true);
        r = log->means.base && log->set && log->rings ? log->wake_fd < 0 ? -errno : 0 : -ENOMEM;
    }
    event_config_free(choice);
    if (log && log->rings)
        memset(log->rings, 0, workers * sizeof *log->rings);
    for (unsigned i = 0; r == 0 && i < workers; i++) {
        r = log_ring_init(&log->rings[i]);
        log->ring_count++;
    }
    if (r < 0) {
        access_log_free(log);
        return r;
    }
    event_assign(&log->wake, log->means.base, log->wake_fd, EV_READ | EV_PERSIST, on_wake, log);
    evtimer_assign(&log->linger, log->means.base, on_linger, log);
    *ret_log = log;
    return 0;
}

int access_log_start(struct access_log *log, const struct dns_config *dns)
{
    sigset_t all, before;
    int r;

    log->means.dns = *dns;
    log->means.dns.servers.items = NULL;
    if (dns->servers.count > 0) {
        size_t bytes = dns->servers.count * sizeof *dns->servers.items;

        log->means.dns.servers.items = malloc(bytes);
        if (!log->means.dns.servers.items)
            return -ENOMEM;
        memcpy(log->means.dns.servers.items, dns->servers.items, bytes);
    }
    if (event_add(&log->wake, NULL) < 0)
        return -ENOMEM;
    sigfillset(&all); /* signals are the main thread's */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    r = -pthread_create(&log->thread, NULL, run, log);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    log->is_started = r == 0;
    return r;
}

int access_log_configure(struct access_log *log, const struct access_log_config *config)
{
    static const struct access_log_sink_config standard = { .type = ACCESS_LOG_STDOUT, .buffer_bytes = 1024 * 1024 };
    const struct access_log_sink_config *items = config->sinks.count > 0 ? config->sinks.items : &standard;
    size_t count = config->filter == ACCESS_LOG_NONE ? 0 : MAX(config->sinks.count, (size_t)1);
    struct sink_set *set = calloc(1, sizeof *set);

    if (!set)
        return -ENOMEM;
    for (; set->count < count; set->count++) {
        int r = log_sink_new(&items[set->count], &set->sinks[set->count]);

        if (r < 0) {
            set_free(set);
            return r;
        }
    }
    set_free(atomic_exchange(&log->next, set));
    wake(log);
    return 0;
}

void access_log_reopen(struct access_log *log)
{
    atomic_store(&log->reopens, true);
    wake(log);
}

/* A file on a disk that hangs, or a terminal of somebody else's, may keep the thread for ever. */
static bool has_ended(struct access_log *log)
{
    struct timespec until;

    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 2 * LAST_MS / 1000;
    return pthread_timedjoin_np(log->thread, NULL, &until) == 0;
}

void access_log_free(struct access_log *log)
{
    if (!log)
        return;
    if (log->is_started) {
        atomic_store(&log->ends, true);
        wake(log);
        if (!has_ended(log)) {
            log_error("access log: a sink hangs; it is left behind");
            return; /* with all that it has */
        }
    }
    set_free(atomic_exchange(&log->next, NULL));
    set_free(log->set);
    dns_resolver_free(log->means.resolver);
    free(log->means.dns.servers.items);
    if (log->means.base)
        event_base_free(log->means.base);
    if (log->wake_fd >= 0)
        close(log->wake_fd);
    for (unsigned i = 0; i < log->ring_count; i++)
        log_ring_done(&log->rings[i]);
    free(log->rings);
    free(log);
}

void access_log_write(struct access_log *log, unsigned worker, const char *line, size_t length, bool is_abnormal)
{
    log_ring_put(&log->rings[worker], line, length, is_abnormal);
    if ((atomic_load(&log->is_asleep) && atomic_exchange(&log->is_asleep, false)) ||
        log_ring_is_filling(&log->rings[worker])) /* it lingers */
        wake(log);
}

void access_log_count(const struct access_log *log, struct access_log_counts *ret_counts)
{
    *ret_counts = (struct access_log_counts){ .failing = atomic_load(&log->means.failing) };
    for (unsigned i = 0; i < log->ring_count; i++) {
        ret_counts->lines += counter_read(&log->rings[i].lines);
        ret_counts->dropped += counter_read(&log->rings[i].dropped);
    }
    for (size_t type = 0; type <= ACCESS_LOG_SYSLOG; type++) {
        ret_counts->written[type] = atomic_load(&log->means.counts[type].written);
        ret_counts->lost[type] = atomic_load(&log->means.counts[type].dropped);
    }
}

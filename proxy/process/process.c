#include "proxy/process/process.h"
#include "proxy/conn/transparent.h"

#include <errno.h>
#include <event2/event.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/macros.h"
#include "proxy/observe/access_log.h"
#include "proxy/process/command_trace.h"
#include "proxy/process/commands.h"
#include "proxy/process/configuration.h"
#include "proxy/process/interception_check.h"
#include "proxy/process/notify.h"
#include "proxy/process/startup.h"
#include "proxy/process/takeover.h"
#include "proxy/process/upstreams.h"

/* How often the lifecycle looks at the clock. */
#define LIFECYCLE_EVERY_MS 20

#define AWAIT_MS 1000

#define MOST_RELOAD_TEXT (256 * 1024)

unsigned process_active_connections(const struct process *process)
{
    unsigned active = 0;

    for (unsigned i = 0; i < process->workers_ready; i++)
        active += atomic_load_explicit(&process->shared.workers[i].active, memory_order_relaxed);
    return active;
}

static void stop_inbound(void *owner)
{
    struct process *process = owner;

    for (unsigned i = 0; i < process->workers_ready; i++) {
        if (process->snapshot->config->drain.spread_ms > 0)
            worker_spread_ends(&process->shared.workers[i]);
        worker_stop_inbound(&process->shared.workers[i]);
    }
}

static bool has_stopped(const struct process *process)
{
    for (unsigned i = 0; i < process->workers_ready; i++) {
        if (!atomic_load_explicit(&process->shared.workers[i].inbound_stopped, memory_order_acquire))
            return false;
    }
    return true;
}

static bool inbound_is_stopped(void *owner)
{
    return has_stopped(owner);
}

static void set_stopped(struct process *process, bool is_stopped)
{
    for (unsigned i = 0; i < process->workers_ready; i++)
        atomic_store_explicit(&process->shared.workers[i].inbound_stopped, is_stopped, memory_order_relaxed);
}

/* Only what has been closed for certain can be opened again. */
static int resume_inbound(void *owner)
{
    struct process *process = owner;
    int r;

    if (!process_await(process, has_stopped) || !process_await(process, configuration_is_settled))
        return -ETIMEDOUT;
    set_stopped(process, false);
    r = configuration_apply(process, config_ref(process->snapshot->config));
    if (r < 0)
        set_stopped(process, true);
    for (unsigned i = 0; r == 0 && i < process->workers_ready; i++)
        worker_stop_spread(&process->shared.workers[i]);
    return r;
}

static unsigned count_connections(void *owner)
{
    return process_active_connections(owner);
}

static void exit_loop(void *owner)
{
    struct process *process = owner;

    event_base_loopbreak(process->base);
}

static void on_lifecycle_tick(evutil_socket_t fd, short what, void *argument)
{
    struct process *process = argument;

    (void)fd;
    (void)what;
    lifecycle_run(&process->lifecycle, clock_now_ms());
}

static void begin_lifecycle_ticks(struct process *process)
{
    const struct timeval every = { .tv_usec = LIFECYCLE_EVERY_MS * 1000 };

    if (!event_pending(&process->lifecycle_tick, EV_TIMEOUT, NULL))
        event_add(&process->lifecycle_tick, &every);
}

void process_drain(struct process *process)
{
    begin_lifecycle_ticks(process);
    lifecycle_drain(&process->lifecycle, clock_now_ms());
}

int process_undrain(struct process *process)
{
    int r = lifecycle_undrain(&process->lifecycle);

    if (r == 0) {
        event_del(&process->lifecycle_tick);
        process_await(process, configuration_is_settled);
    }
    return r;
}

bool process_await(const struct process *process, bool (*is_true)(const struct process *process))
{
    const struct timespec pause = { .tv_nsec = 200000 };
    uint64_t until_ms = clock_now_ms() + AWAIT_MS;

    while (!is_true(process)) {
        if (clock_now_ms() > until_ms)
            return false;
        nanosleep(&pause, NULL);
    }
    return true;
}

void process_be_taken_over(struct process *process)
{
    begin_lifecycle_ticks(process);
    http_server_stop_listening(process->control);
    http_server_stop_listening(process->health);
    http_server_stop_listening(process->admin);
    process->control_socket_count = 0;
    for (unsigned i = 0; i < process->workers_ready; i++)
        worker_let_go_of_listeners(&process->shared.workers[i]);
    lifecycle_be_taken_over(&process->lifecycle, process->snapshot->config->takeover.timeout_ms, clock_now_ms());
}

void process_quit(struct process *process)
{
    if (!process->lifecycle.is_taken_over)
        notify_service_manager("STOPPING=1");
    begin_lifecycle_ticks(process);
    lifecycle_quit(&process->lifecycle, clock_now_ms());
}

static void on_end_signal(evutil_socket_t number, short what, void *argument)
{
    (void)what;
    log_info("signal %s", sigabbrev_np((int)number));
    process_quit(argument);
}

static void on_reload_signal(evutil_socket_t number, short what, void *argument)
{
    struct strbuf text;

    (void)number;
    (void)what;
    strbuf_init(&text, MOST_RELOAD_TEXT);
    reload_run(argument, &text);
    strbuf_done(&text);
}

static void on_reopen_signal(evutil_socket_t number, short what, void *argument)
{
    struct process *process = argument;

    (void)number;
    (void)what;
    access_log_reopen(process->shared.access_log);
}

static int watch_signals(struct process *process)
{
    static const struct {
        int number;
        event_callback_fn callback;
    } signals[] = { { SIGTERM, on_end_signal },
                    { SIGINT, on_end_signal },
                    { SIGHUP, on_reload_signal },
                    { SIGUSR1, on_reopen_signal } };

    signal(SIGPIPE, SIG_IGN);
    for (size_t i = 0; i < ARRAY_SIZE(signals); i++) {
        struct event *event = &process->signals[process->signal_count];

        evsignal_assign(event, process->base, signals[i].number, signals[i].callback, process);
        if (event_add(event, NULL) < 0)
            return -ENOMEM;
        process->signal_count++;
    }
    return 0;
}

static void on_interception_proven(void *owner)
{
    struct process *process = owner;

    lifecycle_unblock(&process->lifecycle, READINESS_INTERCEPTION);
}

static int check_interception(struct process *process)
{
    const struct intercept_config *intercept = &process->snapshot->config->intercept;

    if (intercept->present && intercept->require)
        return interception_check_new(process->base, on_interception_proven, process, &process->interception_check);
    lifecycle_unblock(&process->lifecycle, READINESS_INTERCEPTION);
    return 0;
}

static int start(struct process *process, const struct process_task *task)
{
    const char *takeover_path = task->takeover_path;
    struct config *config = task->config;
    char about[64];
    int r;

    process->base = event_base_new();
    if (!process->base) {
        config_free(config);
        return -ENOMEM;
    }
    event_assign(&process->lifecycle_tick, process->base, -1, EV_PERSIST, on_lifecycle_tick, process);
    reload_init(process, &task->files, &task->seen);
    identity_init(process);
    commands_init(process);
    command_trace_init(process);
    r = watch_signals(process);
    if (r == 0)
        r = startup_make_workers(process, config);
    if (r == 0 && takeover_path)
        r = startup_claim(process, config, takeover_path);
    if (r == 0)
        r = startup_open_control(process, config);
    if (r < 0) {
        config_free(config);
        return r;
    }
    lifecycle_unblock(&process->lifecycle, READINESS_CONFIGURATION);
    r = configuration_apply(process, config);
    if (r == 0)
        r = startup_start_workers(process);
    if (r == 0)
        r = check_interception(process);
    if (r == 0 && takeover_path)
        r = startup_finish_takeover(process, config, takeover_path);
    if (r < 0)
        return r;
    for (unsigned i = 0; i < process->workers_ready; i++)
        worker_take_credentials(&process->shared.workers[i]);
    for (unsigned i = 0; i < process->workers_ready; i++) /* from the first on, any may be handed connections */
        worker_adopt(&process->shared.workers[i]);
    lifecycle_unblock(&process->lifecycle, READINESS_LISTENERS);
    upstreams_await(process);
    reload_begin(process);
    snprintf(about, sizeof about, "READY=1\nMAINPID=%ld", (long)getpid());
    notify_service_manager(about);
    return 0;
}

/* Nobody can ask any more. */
static void tell_endings(const struct process *process)
{
    struct strbuf text;

    if (!process->snapshot || process->lifecycle.state != LIFECYCLE_STOPPED)
        return;
    strbuf_init(&text, 2048);
    endings_append_text(&process->clusters, &text);
    log_info("connections: %s", text.text);
    strbuf_done(&text);
}

static void end(struct process *process)
{
    sigset_t all;

    /* It ends already, in good order: one more SIGTERM must not make that a death by a signal. */
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, NULL);
    for (unsigned i = 0; i < process->workers_ready; i++)
        worker_ask_to_stop(&process->shared.workers[i]);
    for (unsigned i = 0; i < process->workers_ready; i++)
        worker_wait_for_stop(&process->shared.workers[i]);
    reload_done(process);
    interception_check_free(process->interception_check);
    takeover_free(process->takeover);
    http_server_free(process->control);
    app_prober_free(process->prober);
    http_server_free(process->health);
    http_server_free(process->admin);
    if (process->control_path)
        unlink(process->control_path);
    free(process->control_path);
    for (unsigned i = 0; i < process->workers_ready; i++)
        worker_done(&process->shared.workers[i]);
    access_log_free(process->shared.access_log);
    tell_endings(process);
    free(process->shared.workers);
    configuration_free_all(process);
    identity_done(process);
    command_trace_done(process);
    listing_done(&process->listing);
    dns_resolver_free(process->resolver);
    cluster_registry_done(&process->clusters);
    transparent_ports_free(process->shared.transparent_ports);
    tally_free(process->shared.limits.clients);
    for (unsigned i = 0; i < process->signal_count; i++)
        event_del(&process->signals[i]);
    if (process->base) {
        event_del(&process->lifecycle_tick);
        event_base_free(process->base);
    }
}

void process_close_lost(struct process *process)
{
    for (unsigned i = 0; i < process->workers_ready; i++)
        worker_close_lost(&process->shared.workers[i]);
}

int process_run(const struct process_task *task)
{
    static const struct lifecycle_actions actions = { stop_inbound, resume_inbound, inbound_is_stopped,
                                                      count_connections, exit_loop };
    struct process *process = calloc(1, sizeof *process);
    int r;

    if (!process) {
        config_free(task->config);
        return 1;
    }
    list_init(&process->snapshots);
    process->started_ms = clock_now_ms();
    log_configure((enum log_level)task->config->log.level, (enum log_format)task->config->log.format);
    lifecycle_init(&process->lifecycle, &task->config->drain, &actions, process);
    r = start(process, task);
    if (r == 0)
        event_base_loop(process->base, 0);
    else
        log_error("not started: %s", strerror(-r));
    end(process);
    free(process);
    return r == 0 ? 0 : 1;
}

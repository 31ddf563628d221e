#include "proxy/process/reload.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/macros.h"
#include "proxy/config/compare.h"
#include "proxy/config/config.h"
#include "proxy/process/configuration.h"
#include "proxy/process/file_watch.h"
#include "proxy/process/process.h"

#define LOOK_AT_OLD_MS   200
#define AGAIN_FIRST_MS   1000
#define AGAIN_LONGEST_MS 60000
#define MOST_TEXT_BYTES  (256 * 1024)

void reload_look_at_old(struct process *process)
{
    const struct timeval later = { .tv_usec = LOOK_AT_OLD_MS * 1000 };

    if (configuration_forget_old(process))
        evtimer_add(&process->reload.old, &later);
}

static void on_look_at_old(evutil_socket_t fd, short what, void *argument)
{
    (void)fd;
    (void)what;
    reload_look_at_old(argument);
}

static void note(struct reload *reload, int r, const char *problem)
{
    free(reload->problem);
    reload->problem = NULL;
    if (r == 0 || r == -EALREADY) {
        reload->status.succeeded += r == 0;
        reload->status.succeeded_s = clock_wall_seconds();
    } else {
        reload->problem = strdup(problem);
        reload->status.refused++;
        reload->status.refused_s = clock_wall_seconds();
    }
    reload->status.problem = reload->problem;
}

/* A line of the log for each line. */
static void log_problem(const char *problem)
{
    while (*problem) {
        size_t length = strcspn(problem, "\n");

        log_error("reload refused: %.*s", (int)length, problem);
        problem += length + (problem[length] == '\n');
    }
}

static int load_and_apply(struct process *process, struct strbuf *text)
{
    const struct config *running = process->snapshot->config;
    struct config *config;
    const char *name;
    char *errors;
    int r;

    if (process->lifecycle.exits) {
        strbuf_append(text, "too late: the process is ending\n");
        return -ESHUTDOWN;
    }
    file_identify(process->reload.status.path, &process->reload.seen);
    file_watch_seen(process->reload.watch, &process->reload.seen);
    r = config_load(&process->reload.files, running, &name, &config, &errors);

    if (r == -EINVAL) {
        strbuf_append(text, errors);
        free(errors);
    }
    if (r == 0 && compare_configs(running, config)) {
        config_free(config);
        strbuf_printf(text, "%s: nothing has changed\n", name);
        return -EALREADY;
    }
    if (r == 0 && !process_await(process, configuration_is_settled)) {
        config_free(config);
        strbuf_append(text, "a worker has not changed over to the last configuration yet; try again\n");
        return -EBUSY;
    }
    if (r < 0)
        return r;
    r = configuration_apply(process, config);
    if (r < 0)
        strbuf_printf(text, "%s: %s; the log tells more; the old configuration stays in force\n", name, strerror(-r));
    else
        strbuf_printf(text, "%s: reloaded\n", name);
    return r;
}

int reload_run(struct process *process, struct strbuf *text)
{
    struct strbuf own;
    int r;

    strbuf_init(&own, MOST_TEXT_BYTES);
    r = load_and_apply(process, &own);
    note(&process->reload, r, own.text);
    if (r == 0 || r == -EALREADY) {
        log_info("%.*s", (int)strcspn(own.text, "\n"), own.text);
        process_await(process, configuration_is_settled);
        reload_look_at_old(process);
        identity_look(process);
    } else {
        log_problem(own.text);
    }
    strbuf_append(text, own.text);
    strbuf_done(&own);
    return r;
}

/* What only met with a bad moment (a worker that is busy, an address that is taken, no memory) is tried again. */
static void reload_by_watch(struct process *process)
{
    struct reload *reload = &process->reload;
    struct timeval delay = { 0 };
    struct strbuf text;
    int r;

    if (process->lifecycle.exits)
        return;
    strbuf_init(&text, MOST_TEXT_BYTES);
    r = reload_run(process, &text);
    strbuf_done(&text);
    if (r == 0 || r == -EALREADY || r == -EINVAL) {
        reload->again_ms = 0;
        return;
    }
    reload->again_ms = MIN(MAX(reload->again_ms * 2, (unsigned)AGAIN_FIRST_MS), (unsigned)AGAIN_LONGEST_MS);
    delay.tv_sec = reload->again_ms / 1000;
    evtimer_add(&reload->again, &delay);
}

static void on_file_change(void *owner)
{
    struct process *process = owner;

    evtimer_del(&process->reload.again);
    process->reload.again_ms = 0;
    reload_by_watch(process);
}

static void on_again(evutil_socket_t fd, short what, void *argument)
{
    (void)fd;
    (void)what;
    reload_by_watch(argument);
}

void reload_init(struct process *process, const struct config_files *files, const struct file_identity *seen)
{
    struct reload *reload = &process->reload;

    reload->files = *files;
    reload->seen = *seen;
    reload->status.path = files->path ? files->path : CONFIG_DEFAULT_PATH;
    reload->status.succeeded_s = clock_wall_seconds();
    evtimer_assign(&reload->old, process->base, on_look_at_old, process);
    evtimer_assign(&reload->again, process->base, on_again, process);
}

void reload_begin(struct process *process)
{
    struct reload *reload = &process->reload;

    reload->watch = file_watch_new(process->base, reload->status.path, &reload->seen, on_file_change, process);
}

void reload_done(struct process *process)
{
    struct reload *reload = &process->reload;

    file_watch_free(reload->watch);
    if (process->base && event_initialized(&reload->old)) {
        event_del(&reload->old);
        event_del(&reload->again);
    }
    free(reload->problem);
}

#include "proxy/process/file_watch.h"

#include <errno.h>
#include <event2/event_struct.h>
#include <libgen.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"

#define EVENTS (IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_CREATE | IN_DELETE | IN_DELETE_SELF | IN_MOVE_SELF)

struct file_watch {
    char *path;
    int fd; /* -1: there is no inotify */
    struct event readable, quiet, look;
    uint64_t stirred_ms; /* while `quiet` is armed: since when */
    struct file_identity seen;
    void (*on_change)(void *owner);
    void *owner;
};

static void arm(struct event *timer, unsigned ms)
{
    struct timeval delay = { .tv_sec = ms / 1000, .tv_usec = (suseconds_t)(ms % 1000) * 1000 };

    evtimer_add(timer, &delay);
}

/* Watches the directory of `path`, where it is there and can be watched; else the looks must do. */
static void watch_directory(struct file_watch *watch, const char *path)
{
    char copy[PATH_MAX];

    if (watch->fd < 0 || strlen(path) >= sizeof copy)
        return;
    strcpy(copy, path);
    inotify_add_watch(watch->fd, dirname(copy), EVENTS | IN_ONLYDIR);
}

/* The directory that names it, and the one where it is. The same again does nothing. */
static void watch_directories(struct file_watch *watch)
{
    char *real = realpath(watch->path, NULL);

    watch_directory(watch, watch->path);
    if (real)
        watch_directory(watch, real);
    free(real);
}

static void look(struct file_watch *watch)
{
    struct file_identity now;

    watch_directories(watch);
    file_identify(watch->path, &now);
    if (file_identity_equals(&now, &watch->seen))
        return;
    watch->seen = now;
    if (file_exists(&now))
        watch->on_change(watch->owner);
    else
        log_warning("%s: it is not there any more; what was in it stays in force", watch->path);
}

static void on_quiet(evutil_socket_t fd, short what, void *argument)
{
    (void)fd;
    (void)what;
    look(argument);
}

static void on_look(evutil_socket_t fd, short what, void *argument)
{
    struct file_watch *watch = argument;

    (void)fd;
    (void)what;
    arm(&watch->look, FILE_WATCH_LOOK_MS);
    if (!evtimer_pending(&watch->quiet, NULL))
        look(watch);
}

static void on_readable(evutil_socket_t fd, short what, void *argument)
{
    struct file_watch *watch = argument;
    uint64_t now_ms = clock_now_ms();
    char events[4096];

    (void)what;
    while (read(fd, events, sizeof events) > 0) /* which they are does not matter */
        continue;
    if (!evtimer_pending(&watch->quiet, NULL))
        watch->stirred_ms = now_ms;
    if (now_ms - watch->stirred_ms < FILE_WATCH_MOST_MS - FILE_WATCH_QUIET_MS)
        arm(&watch->quiet, FILE_WATCH_QUIET_MS);
}

struct file_watch *file_watch_new(struct event_base *base, const char *path, const struct file_identity *seen,
                                  void (*on_change)(void *owner), void *owner)
{
    struct file_watch *watch = calloc(1, sizeof *watch);

    if (watch)
        watch->path = strdup(path);
    if (!watch || !watch->path) {
        log_warning("%s: no memory: changes will not be noticed", path);
        free(watch);
        return NULL;
    }
    watch->seen = *seen;
    watch->on_change = on_change;
    watch->owner = owner;
    evtimer_assign(&watch->quiet, base, on_quiet, watch);
    evtimer_assign(&watch->look, base, on_look, watch);
    watch->fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    if (watch->fd < 0)
        log_info("%s: changes are noticed within %d s: %s", path, FILE_WATCH_LOOK_MS / 1000, strerror(errno));
    event_assign(&watch->readable, base, watch->fd, EV_READ | EV_PERSIST, on_readable, watch);
    if (watch->fd >= 0)
        event_add(&watch->readable, NULL);
    watch_directories(watch);
    arm(&watch->quiet, 0); /* it may have changed since it was seen */
    arm(&watch->look, FILE_WATCH_LOOK_MS);
    return watch;
}

void file_watch_free(struct file_watch *watch)
{
    if (!watch)
        return;
    if (watch->fd >= 0) {
        event_del(&watch->readable);
        close(watch->fd);
    }
    evtimer_del(&watch->quiet);
    evtimer_del(&watch->look);
    free(watch->path);
    free(watch);
}

void file_watch_seen(struct file_watch *watch, const struct file_identity *seen)
{
    if (watch)
        watch->seen = *seen;
}

void file_watch_look(struct file_watch *watch)
{
    if (watch)
        look(watch);
}

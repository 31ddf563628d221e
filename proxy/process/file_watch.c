#include "proxy/process/file_watch.h"

#include <errno.h>
#include <event2/event_struct.h>
#include <libgen.h>
#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"

#define RETRY_MS 5000 /* for a directory that is not there */
#define EVENTS   (IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_CREATE | IN_DELETE | IN_DELETE_SELF | IN_MOVE_SELF)

struct file_watch {
    char *path;
    int fd;
    struct event readable, quiet;
    struct stat last; /* all zero: it was not there */
    void (*on_change)(void *owner);
    void *owner;
};

static void wait_for(struct file_watch *watch, unsigned ms)
{
    struct timeval delay = { .tv_sec = ms / 1000, .tv_usec = (suseconds_t)(ms % 1000) * 1000 };

    evtimer_add(&watch->quiet, &delay);
}

/* Watches the directory of `path`. Returns whether it is there. */
static bool watch_directory(struct file_watch *watch, const char *path)
{
    char copy[PATH_MAX];

    if (strlen(path) >= sizeof copy)
        return true; /* it cannot be */
    strcpy(copy, path);
    return inotify_add_watch(watch->fd, dirname(copy), EVENTS | IN_ONLYDIR) >= 0 || errno == ENOSPC;
}

/* The directory that names it, and the one where it is. The same again does nothing. */
static void watch_directories(struct file_watch *watch)
{
    char *real = realpath(watch->path, NULL);

    if (!watch_directory(watch, watch->path) || (real && !watch_directory(watch, real)))
        wait_for(watch, RETRY_MS);
    free(real);
}

static void look(struct file_watch *watch, struct stat *ret_now)
{
    if (stat(watch->path, ret_now) < 0)
        memset(ret_now, 0, sizeof *ret_now);
}

static bool is_same(const struct stat *one, const struct stat *other)
{
    return one->st_dev == other->st_dev && one->st_ino == other->st_ino && one->st_size == other->st_size &&
           one->st_mtim.tv_sec == other->st_mtim.tv_sec && one->st_mtim.tv_nsec == other->st_mtim.tv_nsec;
}

static void on_quiet(evutil_socket_t fd, short what, void *argument)
{
    struct file_watch *watch = argument;
    struct stat now;

    (void)fd;
    (void)what;
    watch_directories(watch);
    look(watch, &now);
    if (is_same(&now, &watch->last))
        return;
    watch->last = now;
    if (now.st_ino == 0)
        log_warning("%s: it is not there any more; what was in it stays in force", watch->path);
    else
        watch->on_change(watch->owner);
}

static void on_readable(evutil_socket_t fd, short what, void *argument)
{
    char events[4096];

    (void)what;
    while (read(fd, events, sizeof events) > 0) /* which they are does not matter */
        continue;
    wait_for(argument, FILE_WATCH_QUIET_MS);
}

struct file_watch *file_watch_new(struct event_base *base, const char *path, void (*on_change)(void *owner),
                                  void *owner)
{
    struct file_watch *watch = calloc(1, sizeof *watch);

    if (!watch)
        return NULL;
    watch->fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    watch->path = strdup(path);
    if (watch->fd < 0 || !watch->path) {
        log_warning("%s: changes will not be noticed: %s", path, strerror(errno));
        if (watch->fd >= 0)
            close(watch->fd);
        free(watch->path);
        free(watch);
        return NULL;
    }
    watch->on_change = on_change;
    watch->owner = owner;
    event_assign(&watch->readable, base, watch->fd, EV_READ | EV_PERSIST, on_readable, watch);
    evtimer_assign(&watch->quiet, base, on_quiet, watch);
    event_add(&watch->readable, NULL);
    look(watch, &watch->last);
    watch_directories(watch);
    return watch;
}

void file_watch_free(struct file_watch *watch)
{
    if (!watch)
        return;
    event_del(&watch->readable);
    evtimer_del(&watch->quiet);
    close(watch->fd);
    free(watch->path);
    free(watch);
}

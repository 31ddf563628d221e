/*
 * Standard output and files. A file is looked for anew when it was renamed or removed (logrotate), on SIGUSR1, and once
 * in a while when it could not be opened. What a full disk does not take is dropped, whole lines of it.
 */
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/macros.h"
#include "proxy/observe/log_sink.h"

#define LOOK_EVERY_MS 1000
#define MOST_A_WRITE  (64 * 1024)
#define FILE_MODE     0640

struct file_sink {
    struct log_sink sink;
    char *path; /* NULL: standard output */
    int fd;     /* -1: not open */
    bool is_regular, is_socket;
    bool is_broken; /* a part of a line stands at its end */
    dev_t device;
    ino_t inode;
    uint64_t looked_ms;
    struct event writable; /* of what is no regular file */
    struct event later;
};

static struct file_sink *file_of(struct log_sink *sink)
{
    return CONTAINER_OF(sink, struct file_sink, sink);
}

static void on_event(evutil_socket_t fd, short what, void *argument)
{
    struct file_sink *file = argument;

    (void)fd;
    (void)what;
    file->sink.ops->flush(&file->sink);
}

static void close_file(struct file_sink *file)
{
    if (event_initialized(&file->writable))
        event_del(&file->writable);
    if (file->fd >= 0 && file->fd != STDOUT_FILENO)
        close(file->fd);
    file->fd = -1;
}

/*
 * Standard output is shared with others, so its flags stay as they are: a pipe or a terminal is opened once more, to
 * have one that never blocks. Where that is not allowed (another user's pipe) poll(2) is asked before each line.
 */
static int open_stdout(mode_t mode)
{
    int fd = -1;

    if (S_ISFIFO(mode) || S_ISCHR(mode))
        fd = open("/proc/self/fd/1", O_WRONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    return fd < 0 ? STDOUT_FILENO : fd;
}

static int open_file(struct file_sink *file)
{
    struct stat about;
    int fd = STDOUT_FILENO;

    if (file->path)
        fd = open(file->path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, FILE_MODE);
    if (fd < 0 || fstat(fd, &about) < 0)
        return -errno;
    file->fd = file->path ? fd : open_stdout(about.st_mode);
    file->is_regular = S_ISREG(about.st_mode);
    file->is_socket = S_ISSOCK(about.st_mode);
    file->is_broken = false;
    file->device = about.st_dev;
    file->inode = about.st_ino;
    event_assign(&file->writable, file->sink.means->base, file->fd, EV_WRITE, on_event, file);
    return 0;
}

/* Opens it where it is not open, or not the one that has the name now. Returns whether there is one. */
static bool look(struct file_sink *file)
{
    uint64_t now_ms = clock_now_ms();
    struct stat about;
    int r;

    if (!event_initialized(&file->later))
        evtimer_assign(&file->later, file->sink.means->base, on_event, file);
    if (file->fd >= 0 && (!file->path || now_ms < file->looked_ms + LOOK_EVERY_MS))
        return true;
    if (file->fd < 0 && file->looked_ms != 0 && now_ms < file->looked_ms + LOOK_EVERY_MS)
        return false;
    file->looked_ms = now_ms;
    if (file->fd >= 0 && stat(file->path, &about) == 0 && about.st_dev == file->device && about.st_ino == file->inode)
        return true;
    close_file(file);
    r = open_file(file);
    if (r == 0)
        return true;
    log_sink_fails(&file->sink, strerror(-r));
    return false;
}

static void look_again_later(struct file_sink *file)
{
    const struct timeval later = { .tv_sec = LOOK_EVERY_MS / 1000 };

    if (!evtimer_pending(&file->later, NULL))
        evtimer_add(&file->later, &later);
}

static unsigned long count_lines(const char *bytes, size_t length)
{
    unsigned long lines = 0;
    const char *end;

    for (const char *at = bytes; (end = memchr(at, '\n', length - (size_t)(at - bytes))); at = end + 1)
        lines++;
    return lines;
}

/* So many bytes as one write() may have: of a pipe a line, which it takes whole without making the writer wait. */
static size_t next_length(const struct file_sink *file)
{
    const struct log_queue *queue = &file->sink.queue;
    size_t length = log_queue_length(queue), most = file->is_regular ? MOST_A_WRITE : PIPE_BUF;
    const char *end;

    if (length <= most)
        return length;
    end = memrchr(log_queue_front(queue), '\n', most);
    return end ? (size_t)(end - log_queue_front(queue)) + 1 : most;
}

static bool takes_now(const struct file_sink *file)
{
    struct pollfd poll_fd = { .fd = file->fd, .events = POLLOUT };

    return file->is_regular || (poll(&poll_fd, 1, 0) == 1 && (poll_fd.revents & (POLLOUT | POLLERR)));
}

/* The disk is full, or worse: these lines are lost, and maybe the next ones are not. */
static void lose(struct file_sink *file, size_t length, int error)
{
    log_sink_fails(&file->sink, strerror(error));
    log_sink_dropped(&file->sink, count_lines(log_queue_front(&file->sink.queue), length));
    log_queue_consume(&file->sink.queue, length);
}

static ssize_t write_bytes(const struct file_sink *file, const char *bytes, size_t length)
{
    return file->is_socket ? send(file->fd, bytes, length, MSG_DONTWAIT | MSG_NOSIGNAL)
                           : write(file->fd, bytes, length);
}

/* Writes once. Returns whether there may be more to write. */
static bool write_some(struct file_sink *file)
{
    struct log_queue *queue = &file->sink.queue;
    size_t length = next_length(file), written;
    ssize_t n;

    if (file->is_broken && write_bytes(file, "\n", 1) == 1)
        file->is_broken = false;
    n = write_bytes(file, log_queue_front(queue), length);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        event_add(&file->writable, NULL);
        return false;
    }
    if (n < 0) {
        lose(file, length, errno);
        return true;
    }
    written = (size_t)n;
    log_sink_wrote(&file->sink, count_lines(log_queue_front(queue), written));
    if (written == length) {
        log_sink_works(&file->sink);
        log_queue_consume(queue, length);
        return true;
    }
    /* A regular file takes less than all of it only where the next write would say why. */
    if (file->is_regular && written > 0 && log_queue_front(queue)[written - 1] != '\n') {
        const char *end = memchr(log_queue_front(queue) + written, '\n', length - written);

        file->is_broken = true;
        log_sink_dropped(&file->sink, 1);
        written = end ? (size_t)(end - log_queue_front(queue)) + 1 : length;
    }
    log_queue_consume(queue, written);
    return true;
}

static void flush(struct log_sink *sink)
{
    struct file_sink *file = file_of(sink);

    if (log_queue_length(&sink->queue) == 0)
        return;
    if (!look(file)) {
        look_again_later(file);
        return;
    }
    while (log_queue_length(&sink->queue) > 0) {
        if (!takes_now(file)) {
            event_add(&file->writable, NULL);
            return;
        }
        if (!write_some(file))
            return;
    }
}

static bool add(struct log_sink *sink, const char *line, size_t length, bool is_abnormal)
{
    (void)is_abnormal;
    return log_queue_add(&sink->queue, line, length, "\n", 1);
}

static void reopen(struct log_sink *sink)
{
    struct file_sink *file = file_of(sink);

    if (!file->path)
        return;
    close_file(file);
    file->looked_ms = 0;
    look(file);
    flush(sink);
}

static void free_sink(struct log_sink *sink)
{
    struct file_sink *file = file_of(sink);

    if (log_queue_length(&sink->queue) > 0)
        log_sink_dropped(sink, count_lines(log_queue_front(&sink->queue), log_queue_length(&sink->queue)));
    close_file(file);
    if (event_initialized(&file->later))
        event_del(&file->later);
    log_sink_done(sink);
    free(file->path);
    free(file);
}

static const struct log_sink_ops ops = { .add = add, .flush = flush, .reopen = reopen, .free = free_sink };

int log_sink_file_new(const struct access_log_sink_config *config, struct log_sink **ret_sink)
{
    struct file_sink *file = calloc(1, sizeof *file);
    int r;

    if (!file)
        return -ENOMEM;
    file->fd = -1;
    r = log_sink_init(&file->sink, &ops, config);
    if (config->path)
        file->path = strdup(config->path);
    if (r < 0 || (config->path && !file->path)) {
        free_sink(&file->sink);
        return -ENOMEM;
    }
    *ret_sink = &file->sink;
    return 0;
}

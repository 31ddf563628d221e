#include "proxy/process/interception_check.h"

#include <errno.h>
#include <event2/event_struct.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/interception.h"
#include "base/log.h"
#include "base/sockaddr.h"

#define FIRST_MS    20
#define LONGEST_MS  1000
#define PATIENCE_MS 1000 /* for the answer */
#define TELL_AFTER  10   /* tries: some seconds */

struct interception_check {
    struct event_base *base;
    struct event socket, timer;
    int fd; /* -1: between two tries */
    unsigned tries, pause_ms;
    void (*on_proven)(void *owner);
    void *owner;
};

static void wait_for(struct interception_check *check, unsigned ms)
{
    struct timeval delay = { .tv_sec = ms / 1000, .tv_usec = (suseconds_t)(ms % 1000) * 1000 };

    evtimer_add(&check->timer, &delay);
}

static void close_socket(struct interception_check *check)
{
    if (check->fd < 0)
        return;
    event_del(&check->socket);
    close(check->fd);
    check->fd = -1;
}

static void try_later(struct interception_check *check, const char *problem)
{
    close_socket(check);
    if (++check->tries == TELL_AFTER)
        log_warning("interception is not proven: a connection to %s:%d %s; has outrigger-init been run?",
                    INTERCEPTION_APP_SOURCE_IPV4, INTERCEPTION_PROBE_PORT, problem);
    wait_for(check, check->pause_ms);
    check->pause_ms = check->pause_ms * 2 < LONGEST_MS ? check->pause_ms * 2 : LONGEST_MS;
}

/* Only the proxy itself answers with its word and the destination. */
static bool is_own_answer(const char *line)
{
    char destination[SOCKADDR_TEXT_SIZE + sizeof INTERCEPTION_PROBE_WORD];
    union inet_address address;
    char text[SOCKADDR_TEXT_SIZE];

    sockaddr_parse_host(INTERCEPTION_APP_SOURCE_IPV4, INTERCEPTION_PROBE_PORT, &address);
    snprintf(destination, sizeof destination, "%s %s ", INTERCEPTION_PROBE_WORD, sockaddr_format(&address.any, text));
    return strncmp(line, destination, strlen(destination)) == 0;
}

static void on_readable(evutil_socket_t fd, short what, void *argument)
{
    struct interception_check *check = argument;
    char line[INTERCEPTION_PROBE_ANSWER_SIZE + 1];
    ssize_t n;

    if (what & EV_TIMEOUT) {
        try_later(check, "had no answer");
        return;
    }
    n = read(fd, line, sizeof line - 1);
    if (n < 0) {
        try_later(check, strerror(errno));
        return;
    }
    line[n] = '\0';
    if (!is_own_answer(line)) {
        try_later(check, "was answered by something else");
        return;
    }
    close_socket(check);
    log_info("interception is proven");
    check->on_proven(check->owner);
}

static int dial(struct interception_check *check)
{
    static const struct timeval patience = { .tv_sec = PATIENCE_MS / 1000 };
    union inet_address source, destination;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return -errno;
    sockaddr_parse_host("127.0.0.1", 0, &source);
    sockaddr_parse_host(INTERCEPTION_APP_SOURCE_IPV4, INTERCEPTION_PROBE_PORT, &destination);
    if (bind(fd, &source.any, sizeof source.in) < 0 ||
        (connect(fd, &destination.any, sizeof destination.in) < 0 && errno != EINPROGRESS)) {
        int r = -errno;

        close(fd);
        return r;
    }
    check->fd = fd;
    event_assign(&check->socket, check->base, fd, EV_READ, on_readable, check);
    event_add(&check->socket, &patience);
    return 0;
}

static void on_timer(evutil_socket_t fd, short what, void *argument)
{
    struct interception_check *check = argument;
    int r = dial(check);

    (void)fd;
    (void)what;
    if (r < 0)
        try_later(check, strerror(-r));
}

int interception_check_new(struct event_base *base, void (*on_proven)(void *owner), void *owner,
                           struct interception_check **ret_check)
{
    struct interception_check *check = calloc(1, sizeof *check);

    if (!check)
        return -ENOMEM;
    check->base = base;
    check->fd = -1;
    check->pause_ms = FIRST_MS;
    check->on_proven = on_proven;
    check->owner = owner;
    evtimer_assign(&check->timer, base, on_timer, check);
    wait_for(check, 0);
    *ret_check = check;
    return 0;
}

void interception_check_free(struct interception_check *check)
{
    if (!check)
        return;
    close_socket(check);
    evtimer_del(&check->timer);
    free(check);
}

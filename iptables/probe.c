#include "iptables/probe.h"

#include <netinet/in.h>

#include <errno.h>
#include <grp.h>
#include <linux/netfilter_ipv4.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"

static int wait_for(int fd, short events, uint64_t deadline_ms)
{
    struct pollfd poll_fd = { .fd = fd, .events = events };
    uint64_t now_ms = clock_now_ms();
    int r = poll(&poll_fd, 1, deadline_ms > now_ms ? (int)(deadline_ms - now_ms) : 0);

    return r > 0 ? 0 : r == 0 ? -ETIMEDOUT : -errno;
}

/* Reads one line; what arrived when the time is up counts too. */
static void read_line(int fd, uint64_t deadline_ms, char *line, size_t size)
{
    size_t length = 0;

    while (length + 1 < size && wait_for(fd, POLLIN, deadline_ms) == 0) {
        ssize_t n = read(fd, line + length, size - length - 1);

        if (n <= 0)
            break;
        length += (size_t)n;
        if (memchr(line, '\n', length))
            break;
    }
    line[length] = '\0';
    line[strcspn(line, "\n")] = '\0';
}

static void bind_source(int fd, const union inet_address *source)
{
    union inet_address address = *source;
    int on = 1;

    if (address.family == AF_UNSPEC)
        return;
    (void)!setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, &address.any, sockaddr_length(&address.any)) < 0) {
        sockaddr_set_port(&address.any, 0);
        (void)!bind(fd, &address.any, sockaddr_length(&address.any));
    }
}

static int dial(const struct probe *probe, struct probe_report *report)
{
    socklen_t length = sizeof report->source;
    int fd = socket(probe->destination.family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), error = 0, r;
    socklen_t error_length = sizeof error;

    if (fd < 0)
        return -errno;
    bind_source(fd, &probe->source);
    r = connect(fd, &probe->destination.any, sockaddr_length(&probe->destination.any)) < 0 ? -errno : 0;
    if (r == -EINPROGRESS)
        r = wait_for(fd, POLLOUT, probe->deadline_ms);
    if (r == 0 && getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &error_length) == 0)
        r = -error;
    if (r == 0) {
        getsockname(fd, &report->source.any, &length);
        if (probe->reads_answer)
            read_line(fd, probe->deadline_ms, report->answer, sizeof report->answer);
    }
    close(fd);
    return r;
}

/* An init container has NET_ADMIN and no SETUID: who is the right one already needs nothing. */
static int become(const struct probe *probe)
{
    if (!probe->becomes_other || (geteuid() == probe->uid && getegid() == probe->gid))
        return 0;
    if (setgroups(0, NULL) < 0 || setgid(probe->gid) < 0 || setuid(probe->uid) < 0)
        return -errno;
    return 0;
}

/* In a child, since the uid that the rules see is the whole process's. */
int probe_dial(const struct probe *probe, struct probe_report *ret_report)
{
    int pipe_fds[2], status;
    pid_t child;
    ssize_t n;

    if (pipe(pipe_fds) < 0)
        return -errno;
    child = fork();
    if (child == 0) {
        *ret_report = (struct probe_report){ 0 };
        ret_report->error = become(probe);
        if (ret_report->error < 0)
            ret_report->not_tried = true;
        else
            ret_report->error = dial(probe, ret_report);
        (void)!write(pipe_fds[1], ret_report, sizeof *ret_report);
        _exit(0);
    }
    close(pipe_fds[1]);
    n = child > 0 ? read(pipe_fds[0], ret_report, sizeof *ret_report) : -1;
    close(pipe_fds[0]);
    if (child > 0)
        waitpid(child, &status, 0);
    return n == sizeof *ret_report ? 0 : -EIO;
}

int probe_listen(sa_family_t family, uint16_t port, int *ret_fd)
{
    union inet_address address;
    int on = 1, fd, r;

    sockaddr_parse_host(family == AF_INET ? "0.0.0.0" : "::", port, &address);
    fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    if ((family == AF_INET6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on) < 0) ||
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0 ||
        bind(fd, &address.any, sockaddr_length(&address.any)) < 0 || listen(fd, 16) < 0) {
        r = -errno;
        close(fd);
        return r;
    }
    *ret_fd = fd;
    return 0;
}

bool probe_has_arrived(int listener, const union inet_address *destination, const union inet_address *source,
                       uint64_t deadline_ms)
{
    static const struct linger reset = { .l_onoff = 1, .l_linger = 0 };

    while (wait_for(listener, POLLIN, deadline_ms) == 0) {
        int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        union inet_address original, peer;
        socklen_t length = sizeof original, peer_length = sizeof peer;
        bool arrived = getsockopt(fd, destination->family == AF_INET ? IPPROTO_IP : IPPROTO_IPV6, SO_ORIGINAL_DST,
                                  &original, &length) == 0 &&
                       getpeername(fd, &peer.any, &peer_length) == 0 &&
                       sockaddr_equal(&original.any, &destination->any) &&
                       sockaddr_port(&peer.any) == sockaddr_port(&source->any);

        /* Others who were captured meanwhile must not take this for an orderly end. */
        (void)!setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
        close(fd);
        if (arrived)
            return true;
    }
    return false;
}

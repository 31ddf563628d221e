#include "iptables/verify.h"

#include <netinet/in.h>

#include <errno.h>
#include <grp.h>
#include <linux/netfilter_ipv4.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/interception.h"
#include "base/sockaddr.h"

#define NOBODY 65534

/* What the child that dials reports: what connect() said, and what it read. */
struct report {
    bool not_tried; /* it could not become another user than the proxy's */
    int error;
    union inet_address source;
    char answer[64];
};

static bool is_listed(const struct id_list *list, uint32_t id)
{
    for (size_t i = 0; i < list->count; i++) {
        if (list->items[i] == id)
            return true;
    }
    return false;
}

/* An id that is none of the proxy's. */
static uint32_t other_id(const struct id_list *list)
{
    uint32_t id = NOBODY;

    while (is_listed(list, id))
        id--;
    return id;
}

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

static int dial(const union inet_address *destination, uint64_t deadline_ms, bool read_answer, struct report *report)
{
    socklen_t length = sizeof report->source;
    int fd = socket(destination->family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), error = 0, r;
    socklen_t error_length = sizeof error;

    if (fd < 0)
        return -errno;
    r = connect(fd, &destination->any, sockaddr_length(&destination->any)) < 0 ? -errno : 0;
    if (r == -EINPROGRESS)
        r = wait_for(fd, POLLOUT, deadline_ms);
    if (r == 0 && getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &error_length) == 0)
        r = -error;
    if (r == 0) {
        getsockname(fd, &report->source.any, &length);
        if (read_answer)
            read_line(fd, deadline_ms, report->answer, sizeof report->answer);
    }
    close(fd);
    return r;
}

/*
 * As init runs, nearly always as root, it is not the proxy already; then nothing is needed, and NET_ADMIN alone
 * suffices (an init container has no SETUID).
 */
static int become_other(const struct options *options)
{
    if (!is_listed(&options->proxy_uids, geteuid()) && !is_listed(&options->proxy_gids, getegid()))
        return 0;
    if (setgroups(0, NULL) < 0 || setgid(other_id(&options->proxy_gids)) < 0 ||
        setuid(other_id(&options->proxy_uids)) < 0)
        return -errno;
    return 0;
}

/* Dials in a child, since the uid that the rules see is the whole process's. */
static int dial_as_other(const struct options *options, const union inet_address *destination, uint64_t deadline_ms,
                         bool read_answer, struct report *report)
{
    int pipe_fds[2], status;
    pid_t child;
    ssize_t n;

    if (pipe(pipe_fds) < 0)
        return -errno;
    child = fork();
    if (child == 0) {
        *report = (struct report){ 0 };
        report->error = become_other(options);
        if (report->error < 0)
            report->not_tried = true;
        else
            report->error = dial(destination, deadline_ms, read_answer, report);
        (void)!write(pipe_fds[1], report, sizeof *report);
        _exit(0);
    }
    close(pipe_fds[1]);
    n = child > 0 ? read(pipe_fds[0], report, sizeof *report) : -1;
    close(pipe_fds[0]);
    if (child > 0)
        waitpid(child, &status, 0);
    return n == sizeof *report ? 0 : -EIO;
}

/* Listens where the proxy will. Returns -EADDRINUSE when somebody does already. */
static int listen_as_proxy(sa_family_t family, uint16_t port, int *ret_fd)
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

/* Whether the probe has come to our own listener, with its original destination. */
static bool has_arrived(int listener, const union inet_address *destination, const union inet_address *source,
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

static const char *why_not(int error)
{
    switch (-error) {
    case 0:
        return "it was answered by something else than the proxy";
    case ECONNREFUSED:
        return "it was refused: the rules send it elsewhere, or nobody listens there";
    case ETIMEDOUT:
        return "nothing answered in time: it was not captured, or the proxy does not accept";
    default:
        return strerror(-error);
    }
}

static int verify_family(const struct options *options, const struct ruleset *ruleset, sa_family_t family,
                         unsigned *proven)
{
    const char *name = family == AF_INET ? "IPv4" : "IPv6";
    char expected[SOCKADDR_TEXT_SIZE + 16], destination_text[SOCKADDR_TEXT_SIZE];
    union inet_address destination, any_source;
    struct flow flow = { .chain = CHAIN_OUTBOUND,
                         .uid = other_id(&options->proxy_uids),
                         .gid = other_id(&options->proxy_gids) };
    const struct rule *rule;
    uint64_t deadline_ms = clock_now_ms() + options->verify_timeout_ms;
    struct report report = { 0 };
    int listener = -1, r;
    bool running, arrived;

    sockaddr_parse_host(family == AF_INET ? INTERCEPTION_PROBE_IPV4 : INTERCEPTION_PROBE_IPV6, INTERCEPTION_PROBE_PORT,
                        &destination);
    sockaddr_parse_host(family == AF_INET ? "0.0.0.0" : "::", 0, &any_source);
    flow.source = &any_source.any;
    flow.destination = &destination.any;
    sockaddr_format(&destination.any, destination_text);
    rule = ruleset_decide(ruleset, &flow);
    if (!rule || rule->verdict != VERDICT_REDIRECT) {
        printf("%s: not verified: these options do not capture %s\n", name, destination_text);
        return 0;
    }
    r = listen_as_proxy(family, rule->port, &listener);
    if (r == -EAFNOSUPPORT || r == -EADDRNOTAVAIL) {
        printf("%s: not verified: there is no %s here\n", name, name);
        return 0;
    }
    running = r == -EADDRINUSE;
    if (r < 0 && !running) {
        fprintf(stderr, "outrigger-init: %s: cannot listen on port %u: %s\n", name, rule->port, strerror(-r));
        return -EPROTO;
    }
    r = dial_as_other(options, &destination, deadline_ms, running, &report);
    snprintf(expected, sizeof expected, INTERCEPTION_PROBE_ANSWER "%s", destination_text);
    arrived = r == 0 && report.error == 0 &&
              (running ? strcmp(report.answer, expected) == 0
                       : has_arrived(listener, &destination, &report.source, deadline_ms));
    if (listener >= 0)
        close(listener);
    if (r == 0 && report.not_tried) {
        printf("%s: not verified: cannot become another user than the proxy's: %s\n", name, strerror(-report.error));
        return 0;
    }
    if (r == 0 && (report.error == -ENETUNREACH || report.error == -EHOSTUNREACH || report.error == -EADDRNOTAVAIL)) {
        printf("%s: not verified: no route to %s\n", name, destination_text);
        return 0;
    }
    if (!arrived) {
        fprintf(stderr, "outrigger-init: %s: a connection to %s did not arrive at port %u: %s\n", name,
                destination_text, rule->port, r < 0 ? strerror(-r) : why_not(report.error));
        return -EPROTO;
    }
    printf("%s: verified: a connection to %s arrived at port %u%s\n", name, destination_text, rule->port,
           running ? ", and the running proxy answered" : "");
    (*proven)++;
    return 0;
}

int verify_run(const struct options *options, const struct ruleset *ruleset, unsigned *ret_proven)
{
    int ipv4, ipv6;

    *ret_proven = 0;
    ipv4 = verify_family(options, ruleset, AF_INET, ret_proven);
    ipv6 = verify_family(options, ruleset, AF_INET6, ret_proven);
    return ipv4 < 0 ? ipv4 : ipv6;
}

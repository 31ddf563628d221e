/*
 * The least that any user-space TCP forwarder must do, on epoll and nothing else: accept, connect, and for each
 * readable socket one recv and one send. No timeouts, limits, retries, logs, or careful endings. It shows where the
 * kernel's own cost lies, so that a proxy can be measured against it; it is no proxy.
 *
 *   bench-floor LISTEN-PORT ORIGIN-PORT      on 127.0.0.1
 *   bench-floor LISTEN-PORT original         to the original destination of redirected connections (SO_ORIGINAL_DST)
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/netfilter_ipv4.h>

#define SCRATCH (256 * 1024)
#define EVENTS  256

/* One socket of a pair. What its peer would not take yet is kept with the one that it is owed to. */
struct end {
    int fd;
    struct end *peer;
    char *owed;
    size_t owed_length, owed_sent;
    bool connecting, finished; /* finished: its FIN was passed on */
};

static char scratch[SCRATCH];
static int epoll_fd;
static struct end *graves[2 * EVENTS]; /* freed after the turn: later events of it may still name them */
static size_t grave_count;

static void watch(struct end *end, unsigned events, int how)
{
    struct epoll_event event = { .events = events, .data.ptr = end };

    epoll_ctl(epoll_fd, how, end->fd, &event);
}

/* What an end is watched for follows from what it is owed and what its peer is. */
static void watch_pair(struct end *end)
{
    struct end *both[] = { end, end->peer };

    for (int i = 0; i < 2; i++) {
        unsigned in = both[i]->finished || both[1 - i]->owed ? 0 : EPOLLIN;

        watch(both[i], in | (both[i]->owed ? EPOLLOUT : 0), EPOLL_CTL_MOD);
    }
}

static void close_end(struct end *end)
{
    close(end->fd);
    free(end->owed);
    end->owed = NULL;
    end->fd = -1;
    graves[grave_count++] = end;
}

static void close_pair(struct end *end)
{
    struct end *peer = end->peer;

    close_end(end);
    if (peer)
        close_end(peer);
}

static bool would_block(void)
{
    return errno == EAGAIN || errno == EINTR;
}

/* Sends to `to` what `from` has. Returns false when the pair is gone. */
static bool forward(struct end *from, struct end *to)
{
    ssize_t n = recv(from->fd, scratch, sizeof scratch, 0), sent;

    if (n < 0 && would_block())
        return true;
    if (n < 0) {
        close_pair(from);
        return false;
    }
    if (n == 0) {
        from->finished = true;
        if (to->finished) {
            close_pair(from);
            return false;
        }
        shutdown(to->fd, SHUT_WR);
        watch_pair(from);
        return true;
    }
    sent = send(to->fd, scratch, (size_t)n, MSG_NOSIGNAL);
    if (sent < 0 && !would_block()) {
        close_pair(from);
        return false;
    }
    if (sent < 0)
        sent = 0;
    if (sent < n) {
        to->owed = malloc((size_t)(n - sent));
        if (!to->owed)
            abort();
        memcpy(to->owed, scratch + sent, (size_t)(n - sent));
        to->owed_length = (size_t)(n - sent);
        to->owed_sent = 0;
        watch_pair(to);
    }
    return true;
}

static bool send_owed(struct end *to)
{
    ssize_t sent = send(to->fd, to->owed + to->owed_sent, to->owed_length - to->owed_sent, MSG_NOSIGNAL);

    if (sent < 0 && !would_block()) {
        close_pair(to);
        return false;
    }
    if (sent > 0)
        to->owed_sent += (size_t)sent;
    if (to->owed_sent == to->owed_length) {
        free(to->owed);
        to->owed = NULL;
        watch_pair(to);
    }
    return true;
}

static void on_event(struct end *end, unsigned events)
{
    if (end->fd < 0)
        return;
    if (end->connecting) {
        end->connecting = false;
        if (events & (EPOLLERR | EPOLLHUP)) {
            close_pair(end);
            return;
        }
        watch(end, EPOLLIN, EPOLL_CTL_MOD);
        watch(end->peer, EPOLLIN, EPOLL_CTL_ADD);
        return;
    }
    if ((events & EPOLLOUT) && end->owed && !send_owed(end))
        return;
    if ((events & EPOLLIN) && !end->peer->owed && !end->finished)
        forward(end, end->peer);
    else if ((events & (EPOLLERR | EPOLLHUP)) && !(events & EPOLLIN))
        close_pair(end);
}

static void on_acceptable(int listener, const struct sockaddr_in *origin)
{
    for (int i = 0; i < 64; i++) {
        int client_fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC), on = 1;
        struct sockaddr_in to = *origin;
        socklen_t length = sizeof to;
        struct end *client, *upstream;

        if (client_fd < 0)
            return;
        client = calloc(1, sizeof *client);
        upstream = calloc(1, sizeof *upstream);
        if (!client || !upstream)
            abort();
        *client = (struct end){ .fd = client_fd, .peer = upstream };
        *upstream = (struct end){ .fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0),
                                  .peer = client };
        setsockopt(client->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        setsockopt(upstream->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        if ((to.sin_port == 0 && getsockopt(client->fd, SOL_IP, SO_ORIGINAL_DST, &to, &length) < 0) ||
            (connect(upstream->fd, (struct sockaddr *)&to, sizeof to) < 0 && errno != EINPROGRESS)) {
            close(client->fd);
            close(upstream->fd);
            free(client);
            free(upstream);
            continue;
        }
        upstream->connecting = true;
        watch(upstream, EPOLLOUT, EPOLL_CTL_ADD);
    }
}

static int listen_on(unsigned short port, bool everywhere)
{
    struct sockaddr_in address = { .sin_family = AF_INET,
                                   .sin_port = htons(port),
                                   .sin_addr.s_addr = htonl(everywhere ? INADDR_ANY : INADDR_LOOPBACK) };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1;

    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, (struct sockaddr *)&address, sizeof address) < 0 || listen(fd, 4096) < 0) {
        fprintf(stderr, "bench-floor: port %u: %s\n", port, strerror(errno));
        exit(1);
    }
    return fd;
}

int main(int argc, char **argv)
{
    struct sockaddr_in origin = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    struct epoll_event events[EVENTS];
    struct rlimit descriptors;
    int listener;

    if (argc != 3) {
        fprintf(stderr, "Usage: bench-floor LISTEN-PORT ORIGIN-PORT|original\n");
        return 2;
    }
    getrlimit(RLIMIT_NOFILE, &descriptors);
    descriptors.rlim_cur = descriptors.rlim_max;
    setrlimit(RLIMIT_NOFILE, &descriptors);
    origin.sin_port = htons((unsigned short)atoi(argv[2])); /* "original": 0 */
    listener = listen_on((unsigned short)atoi(argv[1]), origin.sin_port == 0);
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listener, &(struct epoll_event){ .events = EPOLLIN });
    for (;;) {
        int count = epoll_wait(epoll_fd, events, EVENTS, -1);

        for (int i = 0; i < count; i++) {
            if (events[i].data.ptr)
                on_event(events[i].data.ptr, events[i].events);
            else
                on_acceptable(listener, &origin);
        }
        while (grave_count > 0)
            free(graves[--grave_count]);
    }
}

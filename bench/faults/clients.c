/*
 * Clients at a fixed rate, each with a connection of its own and one request, and what became of every single one.
 *
 *   bench-clients ADDRESS PORT RATE SECONDS TIMEOUT-MS START-NS ask|listen
 *
 * Client number n is due n/RATE seconds after START-NS (CLOCK_MONOTONIC) and its latency counts from then, whatever
 * became of those before it (open loop). `ask`: it sends a small HTTP GET as soon as it is connected; `listen`: it
 * waits for the server to speak. Prints a line for each client: when it was due and how long it took, both in
 * microseconds, and its outcome: `ok`, `refused`, `reset`, `closed` (FIN before the whole reply), `timeout` or
 * `failed`.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define REPLY_BYTES 70 /* endpoint.c's */

struct client {
    int fd;
    size_t received;
    uint64_t due_ns, latency_ns;
    const char *outcome; /* NULL while it goes on */
};

static const char question[] = "GET / HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n";
static struct client *clients;
static int epoll_fd, asks;

static uint64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000ull + (uint64_t)now.tv_nsec;
}

static void end(struct client *client, const char *outcome)
{
    client->latency_ns = now_ns() - client->due_ns;
    client->outcome = outcome;
    if (client->fd >= 0)
        close(client->fd);
}

static void end_with(struct client *client, int error)
{
    end(client, error == ECONNREFUSED ? "refused" : error == ECONNRESET || error == EPIPE ? "reset" : "failed");
}

static void begin(struct client *client, const struct sockaddr_in *address, uint64_t due_ns)
{
    struct epoll_event event = { .events = EPOLLOUT, .data.ptr = client };

    *client = (struct client){ .fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), .due_ns = due_ns };
    if (client->fd < 0 ||
        (connect(client->fd, (const struct sockaddr *)address, sizeof *address) < 0 && errno != EINPROGRESS))
        end_with(client, errno);
    else
        epoll_ctl(epoll_fd, EPOLL_CTL_ADD, client->fd, &event);
}

static void on_connected(struct client *client)
{
    struct epoll_event event = { .events = EPOLLIN, .data.ptr = client };
    int error = 0;
    socklen_t length = sizeof error;

    getsockopt(client->fd, SOL_SOCKET, SO_ERROR, &error, &length);
    if (error)
        end_with(client, error);
    else if (asks && send(client->fd, question, sizeof question - 1, MSG_NOSIGNAL) < 0)
        end_with(client, errno);
    else
        epoll_ctl(epoll_fd, EPOLL_CTL_MOD, client->fd, &event);
}

static void on_reply(struct client *client)
{
    char bytes[4096];
    ssize_t n = recv(client->fd, bytes, sizeof bytes, 0);

    if (n < 0) {
        end_with(client, errno);
        return;
    }
    client->received += (size_t)n;
    if (client->received >= REPLY_BYTES)
        end(client, client->received == REPLY_BYTES ? "ok" : "failed");
    else if (n == 0)
        end(client, "closed");
}

int main(int argc, char **argv)
{
    static struct epoll_event events[256];
    struct sockaddr_in address = { .sin_family = AF_INET };
    uint64_t begun = 0, over = 0, wanted, interval_ns, timeout_ns, start_ns;

    if (argc != 8 || inet_pton(AF_INET, argv[1], &address.sin_addr) != 1 || atoi(argv[3]) < 1) {
        fprintf(stderr, "Usage: bench-clients ADDRESS PORT RATE SECONDS TIMEOUT-MS START-NS ask|listen\n");
        return 2;
    }
    prctl(PR_SET_TIMERSLACK, 1);
    address.sin_port = htons((unsigned short)atoi(argv[2]));
    interval_ns = 1000000000ull / (uint64_t)atoi(argv[3]);
    wanted = (uint64_t)atoi(argv[3]) * (uint64_t)atoi(argv[4]);
    timeout_ns = (uint64_t)atoi(argv[5]) * 1000000ull;
    start_ns = strtoull(argv[6], NULL, 10);
    asks = strcmp(argv[7], "ask") == 0;
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    clients = calloc(wanted, sizeof *clients);
    if (!clients)
        return 1;
    while (over < wanted) { /* all before `over` have ended */
        uint64_t now = now_ns(), due = start_ns + begun * interval_ns, next;
        struct timespec wait;
        int ready;

        for (; begun < wanted && due <= now; due = start_ns + begun * interval_ns)
            begin(&clients[begun++], &address, due);
        for (; over < begun && (clients[over].outcome || clients[over].due_ns + timeout_ns <= now); over++)
            if (!clients[over].outcome)
                end(&clients[over], "timeout");
        next = over < begun ? clients[over].due_ns + timeout_ns : UINT64_MAX;
        if (begun < wanted && due < next)
            next = due;
        if (over == wanted)
            break;
        wait.tv_sec = next > now ? (time_t)((next - now) / 1000000000ull) : 0;
        wait.tv_nsec = next > now ? (long)((next - now) % 1000000000ull) : 0;
        ready = epoll_pwait2(epoll_fd, events, 256, &wait, NULL);
        for (int i = 0; i < ready; i++) {
            struct client *client = events[i].data.ptr;

            if (events[i].events & EPOLLOUT)
                on_connected(client);
            else
                on_reply(client);
        }
    }
    for (uint64_t i = 0; i < wanted; i++)
        printf("%lu %lu %s\n", (unsigned long)((clients[i].due_ns - start_ns) / 1000),
               (unsigned long)(clients[i].latency_ns / 1000), clients[i].outcome);
    free(clients);
    return 0;
}

/*
 * A load at a fixed rate, and how long each answer took. Request number n is due n/rate seconds after the start and its
 * latency counts from then, whether or not a connection was free (open loop: a slow answer does not slow the load down,
 * so waiting is not hidden: "coordinated omission").
 *
 *   bench-pace HOST PORT CONNECTIONS RATE SECONDS EXPECTED-BYTES
 *
 * Sends a small HTTP GET and counts a request as answered when EXPECTED-BYTES have come. Prints one line of JSON:
 * {"requests":…,"errors":…,"p50_us":…,"p99_us":…,"p999_us":…}
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MOST_CONNECTIONS 1024
#define DRAIN_NS         1000000000ull /* how long the last answers may take */

struct request {
    int fd;
    uint64_t due_ns;
    size_t received;
};

static const char question[] = "GET / HTTP/1.1\r\nHost: bench\r\n\r\n";
static struct request connections[MOST_CONNECTIONS];
static int idle[MOST_CONNECTIONS], idle_count;

static uint64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000ull + (uint64_t)now.tv_nsec;
}

static void give_up(const char *what, const char *why)
{
    fprintf(stderr, "bench-pace: %s: %s\n", what, why);
    exit(1);
}

static void fail(const char *what)
{
    give_up(what, strerror(errno));
}

static int by_size(const void *left, const void *right)
{
    uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;

    return a < b ? -1 : a > b;
}

static double percentile_us(const uint32_t *sorted_ns, size_t count, double part)
{
    return count == 0 ? 0 : sorted_ns[(size_t)((double)(count - 1) * part)] / 1000.0;
}

static void open_connections(const char *host, unsigned short port, int count, int epoll_fd)
{
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(port) };

    inet_pton(AF_INET, host, &address.sin_addr);
    for (int i = 0; i < count; i++) {
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;

        if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) < 0)
            fail("connect");
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        connections[i] = (struct request){ .fd = fd };
        idle[idle_count++] = i;
        epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &(struct epoll_event){ .events = EPOLLIN, .data.u32 = (uint32_t)i });
    }
}

int main(int argc, char **argv)
{
    static struct epoll_event events[256];
    uint64_t asked = 0, answered = 0, errors, wanted, interval_ns, start_ns;
    uint32_t *latencies;
    size_t expected;
    int epoll_fd = epoll_create1(EPOLL_CLOEXEC), count;

    if (argc != 7 || (count = atoi(argv[3])) < 1 || count > MOST_CONNECTIONS || atoi(argv[4]) < 1) {
        fprintf(stderr, "Usage: bench-pace HOST PORT CONNECTIONS RATE SECONDS EXPECTED-BYTES\n");
        return 2;
    }
    prctl(PR_SET_TIMERSLACK, 1);
    interval_ns = 1000000000ull / (uint64_t)atoi(argv[4]);
    wanted = (uint64_t)atoi(argv[4]) * (uint64_t)atoi(argv[5]);
    expected = (size_t)atoi(argv[6]);
    latencies = calloc(wanted, sizeof *latencies);
    if (!latencies)
        fail("memory");
    open_connections(argv[1], (unsigned short)atoi(argv[2]), count, epoll_fd);
    start_ns = now_ns() + 10000000;
    while (answered < wanted) {
        uint64_t now = now_ns(), due = start_ns + asked * interval_ns;
        struct timespec wait = { 0 };
        int ready;

        if (now > start_ns + wanted * interval_ns + DRAIN_NS)
            break;
        while (asked < wanted && idle_count > 0 && due <= now) {
            struct request *request = &connections[idle[--idle_count]];

            request->due_ns = due;
            request->received = 0;
            if (send(request->fd, question, sizeof question - 1, MSG_NOSIGNAL) != (ssize_t)sizeof question - 1)
                fail("send");
            due = start_ns + ++asked * interval_ns;
        }
        if (asked < wanted && idle_count > 0 && due > now)
            wait.tv_nsec = (long)(due - now < 100000000 ? due - now : 100000000);
        else
            wait.tv_nsec = 100000000;
        ready = epoll_pwait2(epoll_fd, events, 256, &wait, NULL);
        now = now_ns();
        for (int i = 0; i < ready; i++) {
            struct request *request = &connections[events[i].data.u32];
            char bytes[4096];
            ssize_t n = recv(request->fd, bytes, sizeof bytes, 0);

            if (n < 0)
                fail("recv");
            if (n == 0)
                give_up("recv", "the connection was closed");
            request->received += (size_t)n;
            if (request->received > expected)
                give_up("recv", "a reply is longer than EXPECTED-BYTES");
            if (request->received < expected)
                continue;
            latencies[answered++] = (uint32_t)(now - request->due_ns < UINT32_MAX ? now - request->due_ns : UINT32_MAX);
            idle[idle_count++] = (int)events[i].data.u32;
        }
    }
    errors = wanted - answered;
    qsort(latencies, answered, sizeof *latencies, by_size);
    printf("{\"requests\":%lu,\"errors\":%lu,\"p50_us\":%.1f,\"p99_us\":%.1f,\"p999_us\":%.1f}\n",
           (unsigned long)answered, (unsigned long)errors, percentile_us(latencies, answered, 0.50),
           percentile_us(latencies, answered, 0.99), percentile_us(latencies, answered, 0.999));
    free(latencies);
    return 0;
}

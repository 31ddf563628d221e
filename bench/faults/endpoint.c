/*
 * An endpoint that fails as it is told: one short reply for each connection, or none.
 *
 *   bench-endpoint ADDRESS PORT ask|listen
 *
 * `ask`: the client speaks first, whatever it says is a whole request. `listen`: the reply is sent at once. A byte on
 * standard input says what happens from now on: `h` healthy, `a` connections are reset as soon as they are accepted,
 * `r` as soon as their request was read. It ends when standard input does. One connection waits for no other, so it is
 * as fast as one core.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define BACKLOG 511 /* nginx's */

static const char reply[] = "HTTP/1.1 200 OK\r\nContent-Length: 12\r\nConnection: close\r\n\r\nhello, pony\n";
static int epoll_fd, listener;
static bool speaks_first;
static char mode = 'h';

static void reset(int fd)
{
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &(struct linger){ .l_onoff = 1 }, sizeof(struct linger));
    close(fd);
}

static void answer(int fd)
{
    if (send(fd, reply, sizeof reply - 1, MSG_NOSIGNAL) != (ssize_t)sizeof reply - 1)
        reset(fd);
    else
        close(fd);
}

static void on_acceptable(void)
{
    int fd;

    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        if (mode == 'a')
            reset(fd);
        else if (speaks_first)
            answer(fd);
        else
            epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &(struct epoll_event){ .events = EPOLLIN, .data.fd = fd });
    }
}

static void on_request(int fd)
{
    char bytes[4096];

    if (recv(fd, bytes, sizeof bytes, 0) <= 0)
        close(fd);
    else if (mode == 'r')
        reset(fd);
    else
        answer(fd);
}

static void on_order(void)
{
    char order;

    if (read(STDIN_FILENO, &order, 1) != 1)
        exit(0);
    mode = order;
}

static void fail(const char *what)
{
    fprintf(stderr, "bench-endpoint: %s: %s\n", what, strerror(errno));
    exit(1);
}

int main(int argc, char **argv)
{
    struct sockaddr_in address = { .sin_family = AF_INET };
    struct epoll_event events[256];
    int on = 1;

    if (argc != 4 || inet_pton(AF_INET, argv[1], &address.sin_addr) != 1) {
        fprintf(stderr, "Usage: bench-endpoint ADDRESS PORT ask|listen\n");
        return 2;
    }
    address.sin_port = htons((unsigned short)atoi(argv[2]));
    speaks_first = strcmp(argv[3], "listen") == 0;
    listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) < 0 || listen(listener, BACKLOG) < 0)
        fail(argv[2]);
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listener, &(struct epoll_event){ .events = EPOLLIN, .data.fd = listener });
    epoll_ctl(epoll_fd, EPOLL_CTL_ADD, STDIN_FILENO,
              &(struct epoll_event){ .events = EPOLLIN, .data.fd = STDIN_FILENO });
    for (;;) {
        int count = epoll_wait(epoll_fd, events, 256, -1);

        for (int i = 0; i < count; i++) {
            if (events[i].data.fd == listener)
                on_acceptable();
            else if (events[i].data.fd == STDIN_FILENO)
                on_order();
            else
                on_request(events[i].data.fd);
        }
    }
}

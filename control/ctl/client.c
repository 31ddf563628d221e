#include "control/ctl/client.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/macros.h"

static uint64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static int await(int fd, short events, uint64_t deadline_ms)
{
    struct pollfd poll_fd = { .fd = fd, .events = events };

    for (;;) {
        uint64_t now = now_ms();
        int r = poll(&poll_fd, 1, now < deadline_ms ? (int)MIN(deadline_ms - now, (uint64_t)INT32_MAX) : 0);

        if (r > 0)
            return 0;
        if (r == 0)
            return -ETIMEDOUT;
        if (errno != EINTR)
            return -errno;
    }
}

static int dial(const char *path, uint64_t deadline_ms, int *ret_fd)
{
    const struct timespec pause = { .tv_nsec = 10000000 };
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    int fd;

    if (strlen(path) >= sizeof address.sun_path)
        return -ENAMETOOLONG;
    strcpy(address.sun_path, path);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    while (connect(fd, (struct sockaddr *)&address, sizeof address) < 0) {
        int r = -errno;

        if (r == -EAGAIN && now_ms() < deadline_ms) { /* many ask: its backlog is full (unix(7)) */
            nanosleep(&pause, NULL);
            continue;
        }

        close(fd);
        return r;
    }
    *ret_fd = fd;
    return 0;
}

/* Reads until the server closes. */
static int read_all(int fd, uint64_t deadline_ms, char **ret_text, size_t *ret_length)
{
    size_t length = 0, capacity = 0;
    char *text = NULL;
    int r;

    for (;;) {
        ssize_t n;

        if (capacity - length < 2) {
            char *larger;

            capacity = capacity ? capacity * 2 : 16384;
            larger = capacity <= CLIENT_MOST_ANSWER_BYTES ? realloc(text, capacity) : NULL;
            if (!larger) {
                r = -ENOMEM;
                break;
            }
            text = larger;
        }
        n = read(fd, text + length, capacity - length - 1);
        if (n > 0) {
            length += (size_t)n;
            continue;
        }
        if (n == 0) {
            text[length] = '\0';
            *ret_text = text;
            *ret_length = length;
            return 0;
        }
        r = errno == EAGAIN ? await(fd, POLLIN, deadline_ms) : -errno;
        if (r < 0 && r != -EINTR)
            break;
    }
    free(text);
    return r;
}

/* `text` is a whole answer; its body is moved to its start. */
static int parse_answer(char *text, size_t length, struct client_answer *ret_answer)
{
    const char *body = strstr(text, "\r\n\r\n");
    int status;

    if (!body || sscanf(text, "HTTP/1.%*c %d", &status) != 1)
        return -EPROTO;
    body += 4;
    length -= (size_t)(body - text);
    memmove(text, body, length + 1);
    *ret_answer = (struct client_answer){ status, text, length };
    return 0;
}

int client_request(const char *socket_path, const char *method, const char *path, const char *accept, const char *body,
                   uint64_t timeout_ms, struct client_answer *ret_answer)
{
    uint64_t deadline_ms = now_ms() + timeout_ms;
    char request[2048 + CLIENT_MOST_BODY_BYTES], *text = NULL;
    size_t length;
    int fd = -1, size, r;

    r = dial(socket_path, deadline_ms, &fd);
    if (r < 0)
        return r;
    size = snprintf(
        request, sizeof request,
        "%s %s HTTP/1.1\r\nHost: outrigger\r\nAccept: %s\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n%s", method,
        path, accept, strlen(body), body);
    if (size < 0 || (size_t)size >= sizeof request)
        r = -E2BIG;
    if (r == 0 && send(fd, request, (size_t)size, MSG_NOSIGNAL) != size)
        r = -EPIPE; /* so small that it fits or the server is gone */
    if (r == 0)
        r = read_all(fd, deadline_ms, &text, &length);
    if (r == 0)
        r = parse_answer(text, length, ret_answer);
    if (r < 0)
        free(text);
    close(fd);
    return r;
}

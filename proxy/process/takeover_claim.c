/* The side of the new process: one connection, two requests. */
#include <errno.h>
#include <jansson.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/macros.h"
#include "proxy/process/takeover.h"

#define PATIENCE_MS      5000
#define MOST_ANSWER      (4 * 1024 * 1024)
#define MOST_DESCRIPTORS 65536

struct taken {
    char kind[16];
    char address[SOCKADDR_TEXT_SIZE];
    unsigned worker;
    int fd; /* -1: used */
};

struct takeover {
    int connection;
    unsigned workers;
    struct taken *sockets;
    size_t count;
    int *fds; /* as they came, before it is known what they are; -1: not any more */
    size_t fd_count;
};

static int dial(const char *path, int *ret_fd)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    int fd;

    if (strlen(path) >= sizeof address.sun_path)
        return -ENAMETOOLONG;
    strcpy(address.sun_path, path);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    if (connect(fd, (struct sockaddr *)&address, sizeof address) < 0) {
        int r = -errno;

        close(fd);
        return r;
    }
    *ret_fd = fd;
    return 0;
}

static int keep_descriptors(struct takeover *takeover, const int *fds, size_t count)
{
    int *grown = takeover->fd_count + count <= MOST_DESCRIPTORS
                     ? reallocarray(takeover->fds, takeover->fd_count + count, sizeof *grown)
                     : NULL;

    if (!grown) {
        for (size_t i = 0; i < count; i++)
            close(fds[i]);
        return -ENOMEM;
    }
    memcpy(grown + takeover->fd_count, fds, count * sizeof *fds);
    takeover->fds = grown;
    takeover->fd_count += count;
    return 0;
}

/* Returns how many bytes came, with their descriptors; 0 at the end; a negative errno. */
static ssize_t receive(struct takeover *takeover, char *bytes, size_t size, uint64_t deadline_ms)
{
    union {
        struct cmsghdr align;
        char space[CMSG_SPACE(HTTP_MOST_DESCRIPTORS * sizeof(int))];
    } control;
    struct iovec part = { .iov_base = bytes, .iov_len = size };
    struct msghdr message = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = control.space, .msg_controllen = sizeof control.space
    };
    struct pollfd ready = { .fd = takeover->connection, .events = POLLIN };
    uint64_t now_ms = clock_now_ms();
    ssize_t n;

    if (poll(&ready, 1, deadline_ms > now_ms ? (int)(deadline_ms - now_ms) : 0) != 1)
        return -ETIMEDOUT;
    n = recvmsg(takeover->connection, &message, MSG_CMSG_CLOEXEC);
    if (n < 0)
        return -errno;
    for (struct cmsghdr *head = CMSG_FIRSTHDR(&message); head; head = CMSG_NXTHDR(&message, head)) {
        int fds[HTTP_MOST_DESCRIPTORS], r;
        size_t count = (head->cmsg_len - CMSG_LEN(0)) / sizeof(int);

        if (head->cmsg_level != SOL_SOCKET || head->cmsg_type != SCM_RIGHTS)
            continue;
        memcpy(fds, CMSG_DATA(head), count * sizeof(int));
        r = keep_descriptors(takeover, fds, count);
        if (r < 0)
            return r;
    }
    return message.msg_flags & MSG_CTRUNC ? -EMFILE : n;
}

/* The answer that is final, and where its body begins; NULL: not there yet. Interim ones (1xx) are skipped. */
static const char *find_body(const char *text, int *ret_status, size_t *ret_length)
{
    for (;;) {
        const char *end = strstr(text, "\r\n\r\n"), *length;

        if (!end || sscanf(text, "HTTP/1.%*c %d", ret_status) != 1)
            return NULL;
        if (*ret_status < 200) {
            text = end + 4;
            continue;
        }
        length = strstr(text, "Content-Length: ");
        if (!length || length > end)
            return NULL;
        *ret_length = strtoul(length + strlen("Content-Length: "), NULL, 10);
        return end + 4;
    }
}

/* One request. ret_body: release with free(). Returns 0, -EPROTO or another negative errno, or -EACCES when the answer
 * is no; then it was logged. */
static int ask(struct takeover *takeover, const char *path, char **ret_body)
{
    uint64_t deadline_ms = clock_now_ms() + PATIENCE_MS;
    char request[128], *text = calloc(1, MOST_ANSWER + 1);
    size_t length = 0, body_length = 0;
    const char *body = NULL;
    int status = 0, size;
    ssize_t n = 0;

    size = snprintf(request, sizeof request, "POST %s HTTP/1.1\r\nHost: outrigger\r\nContent-Length: 0\r\n\r\n", path);
    if (!text)
        return -ENOMEM;
    if (send(takeover->connection, request, (size_t)size, MSG_NOSIGNAL) != size)
        n = -EPIPE;
    while (n >= 0 && length < MOST_ANSWER) {
        body = find_body(text, &status, &body_length);
        if (body && strlen(body) >= body_length)
            break;
        n = receive(takeover, text + length, MOST_ANSWER - length, deadline_ms);
        if (n == 0)
            n = -ECONNRESET;
        if (n > 0)
            length += (size_t)n;
    }
    if (n >= 0 && !body)
        n = -EPROTO;
    if (n >= 0 && status != 200) {
        log_error("takeover: the old process says: %.*s", (int)strcspn(body, "\n"), body);
        n = -EACCES;
    }
    *ret_body = n >= 0 ? strdup(body) : NULL;
    free(text);
    return n < 0 ? (int)n : *ret_body ? 0 : -ENOMEM;
}

/* Which descriptor is what. */
static int understand(struct takeover *takeover, const char *body)
{
    json_t *answer = json_loads(body, 0, NULL), *sockets = json_object_get(answer, "sockets"), *each;
    size_t index;
    int r = json_array_size(sockets) == takeover->fd_count ? 0 : -EPROTO;

    takeover->workers = (unsigned)json_integer_value(json_object_get(answer, "workers"));
    takeover->sockets = calloc(takeover->fd_count + 1, sizeof *takeover->sockets);
    if (!takeover->sockets)
        r = -ENOMEM;
    json_array_foreach(sockets, index, each)
    {
        const char *kind = json_string_value(json_object_get(each, "kind"));
        const char *address = json_string_value(json_object_get(each, "address"));
        struct taken *taken = r == 0 ? &takeover->sockets[takeover->count++] : NULL;

        if (!taken)
            break;
        snprintf(taken->kind, sizeof taken->kind, "%s", kind ? kind : "");
        snprintf(taken->address, sizeof taken->address, "%s", address ? address : "");
        taken->worker = (unsigned)json_integer_value(json_object_get(each, "worker"));
        taken->fd = takeover->fds[index];
        takeover->fds[index] = -1;
    }
    json_decref(answer);
    return r;
}

int takeover_claim(const char *path, struct takeover **ret_takeover)
{
    struct takeover *takeover = calloc(1, sizeof *takeover);
    char *body = NULL;
    int r;

    if (!takeover)
        return -ENOMEM;
    takeover->connection = -1;
    r = dial(path, &takeover->connection);
    if (r == 0)
        r = ask(takeover, "/takeover", &body);
    if (r == 0)
        r = understand(takeover, body);
    free(body);
    if (r < 0) {
        log_error("takeover: %s: %s", path, strerror(-r));
        takeover_free(takeover);
        return r;
    }
    log_info("takeover: %zu sockets of the process at %s", takeover->count, path);
    *ret_takeover = takeover;
    return 0;
}

void takeover_free(struct takeover *takeover)
{
    if (!takeover)
        return;
    for (size_t i = 0; i < takeover->count; i++) {
        if (takeover->sockets[i].fd >= 0)
            close(takeover->sockets[i].fd);
    }
    for (size_t i = 0; i < takeover->fd_count; i++) {
        if (takeover->fds[i] >= 0)
            close(takeover->fds[i]);
    }
    if (takeover->connection >= 0)
        close(takeover->connection);
    free(takeover->sockets);
    free(takeover->fds);
    free(takeover);
}

unsigned takeover_workers(const struct takeover *takeover)
{
    return takeover->workers;
}

int takeover_take(struct takeover *takeover, const char *kind, const char *address, unsigned worker)
{
    for (size_t i = 0; takeover && i < takeover->count; i++) {
        struct taken *taken = &takeover->sockets[i];
        int fd = taken->fd;

        if (fd < 0 || taken->worker != worker || strcmp(taken->kind, kind) != 0 || strcmp(taken->address, address) != 0)
            continue;
        taken->fd = -1;
        return fd;
    }
    return -1;
}

int takeover_finish(struct takeover *takeover)
{
    char *body;
    int r = ask(takeover, "/takeover/done", &body);

    if (r < 0)
        log_error("takeover: the old process did not let go: %s", strerror(-r));
    else
        free(body);
    return r;
}

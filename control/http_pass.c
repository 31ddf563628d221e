/* Descriptors ahead of an answer, and whether anybody is there to take them. */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#include "base/macros.h"
#include "control/http_server.h"

static int pass_some(int fd, const int *fds, size_t count)
{
    static const char interim[] = "HTTP/1.1 103 Early Hints\r\n\r\n";
    struct iovec bytes = { .iov_base = (void *)(uintptr_t)interim, .iov_len = sizeof interim - 1 };
    union {
        struct cmsghdr align;
        char space[CMSG_SPACE(HTTP_MOST_DESCRIPTORS * sizeof(int))];
    } control = { 0 };
    struct msghdr message = { .msg_iov = &bytes,
                              .msg_iovlen = 1,
                              .msg_control = control.space,
                              .msg_controllen = CMSG_SPACE(count * sizeof(int)) };
    struct cmsghdr *head = CMSG_FIRSTHDR(&message);
    ssize_t sent;

    head->cmsg_level = SOL_SOCKET;
    head->cmsg_type = SCM_RIGHTS;
    head->cmsg_len = CMSG_LEN(count * sizeof(int));
    memcpy(CMSG_DATA(head), fds, count * sizeof(int));
    sent = sendmsg(fd, &message, MSG_NOSIGNAL);
    if (sent < 0)
        return -errno;
    return (size_t)sent == bytes.iov_len ? 0 : -EPIPE; /* so small that it fits or the client is gone */
}

bool http_client_is_gone(const struct http_request *request)
{
    struct pollfd end = { .fd = request->fd, .events = POLLRDHUP };

    return poll(&end, 1, 0) == 1 && (end.revents & (POLLRDHUP | POLLHUP | POLLERR));
}

int http_pass_descriptors(const struct http_request *request, const int *fds, size_t count)
{
    int r = request->fd >= 0 ? 0 : -EBADF;

    for (size_t i = 0; r == 0 && i < count; i += HTTP_MOST_DESCRIPTORS)
        r = pass_some(request->fd, fds + i, MIN(count - i, (size_t)HTTP_MOST_DESCRIPTORS));
    return r;
}

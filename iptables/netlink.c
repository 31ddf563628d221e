#include "iptables/netlink.h"

#include <errno.h>
#include <libmnl/libmnl.h>
#include <poll.h>
#include <sys/socket.h>

/* The kernel answers at once; this is for a kernel that does not answer at all. */
#define ANSWER_TIMEOUT_MS 10000

#define RECEIVE_BUFFER_BYTES (4 * 1024 * 1024)

int netlink_open(int bus, struct mnl_socket **ret_socket)
{
    struct mnl_socket *socket = mnl_socket_open2(bus, SOCK_CLOEXEC);
    int size = RECEIVE_BUFFER_BYTES;

    if (!socket)
        return -errno;
    if (mnl_socket_bind(socket, 0, MNL_SOCKET_AUTOPID) < 0) {
        int r = -errno;

        mnl_socket_close(socket);
        return r;
    }
    /* Room for long lists; root may go beyond the limit. */
    (void)!setsockopt(mnl_socket_get_fd(socket), SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size);
    (void)!setsockopt(mnl_socket_get_fd(socket), SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof size);
    *ret_socket = socket;
    return 0;
}

/*
 * Returns 1 when `acknowledged` was answered, 0 when it was not yet, or the first error. An error may also come for the
 * batch as a whole, under the number of its first message (without NET_ADMIN, say).
 */
static int read_answers(const struct nlmsghdr *answer, int length, uint32_t acknowledged, uint32_t *ret_failed)
{
    for (; mnl_nlmsg_ok(answer, length); answer = mnl_nlmsg_next(answer, &length)) {
        const struct nlmsgerr *result;

        if (answer->nlmsg_type != NLMSG_ERROR)
            continue;
        result = mnl_nlmsg_get_payload(answer);
        if (result->error != 0) {
            *ret_failed = answer->nlmsg_seq;
            return result->error;
        }
        if (answer->nlmsg_seq == acknowledged)
            return 1;
    }
    return 0;
}

int netlink_transact(struct mnl_socket *socket, const void *messages, size_t length, uint32_t acknowledged,
                     uint32_t *ret_failed)
{
    static char buffer[64 * 1024];
    int r = 0;

    *ret_failed = 0;
    if (mnl_socket_sendto(socket, messages, length) < 0)
        return -errno;
    while (r == 0) {
        struct pollfd poll_fd = { .fd = mnl_socket_get_fd(socket), .events = POLLIN };
        int ready = poll(&poll_fd, 1, ANSWER_TIMEOUT_MS);
        ssize_t n;

        if (ready < 0 && errno == EINTR)
            continue;
        if (ready <= 0)
            return ready == 0 ? -ETIMEDOUT : -errno;
        n = mnl_socket_recvfrom(socket, buffer, sizeof buffer);
        if (n < 0)
            return -errno;
        r = read_answers((const struct nlmsghdr *)buffer, (int)n, acknowledged, ret_failed);
    }
    return r < 0 ? r : 0;
}

int netlink_change_routing(struct nlmsghdr *message)
{
    struct mnl_socket *socket;
    uint32_t failed;
    int r = netlink_open(NETLINK_ROUTE, &socket);

    if (r < 0)
        return r;
    message->nlmsg_seq = 1;
    message->nlmsg_flags |= NLM_F_REQUEST | NLM_F_ACK;
    r = netlink_transact(socket, message, message->nlmsg_len, 1, &failed);
    mnl_socket_close(socket);
    return r;
}

int netlink_ask(struct mnl_socket *socket, const struct nlmsghdr *request,
                int (*take)(const struct nlmsghdr *answer, void *argument), void *argument)
{
    static char buffer[64 * 1024];
    int r;

    if (mnl_socket_sendto(socket, request, request->nlmsg_len) < 0)
        return -errno;
    do {
        ssize_t n = mnl_socket_recvfrom(socket, buffer, sizeof buffer);

        if (n < 0)
            return -errno;
        r = mnl_cb_run(buffer, (size_t)n, request->nlmsg_seq, mnl_socket_get_portid(socket), take, argument);
        if (r < 0)
            return -errno;
    } while (r > MNL_CB_STOP);
    return 0;
}

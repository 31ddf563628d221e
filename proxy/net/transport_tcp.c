#include <errno.h>
#include <event2/event.h>

#include <sys/socket.h>
#include <unistd.h>

#include "proxy/net/sockopt.h"
#include "proxy/net/transport.h"

static ssize_t tcp_read(struct transport *transport, void *bytes, size_t size)
{
    ssize_t n = recv(transport->fd, bytes, size, 0);

    return n < 0 ? -errno : n;
}

static ssize_t tcp_write(struct transport *transport, const void *bytes, size_t length, bool more)
{
    ssize_t n = send(transport->fd, bytes, length, more ? MSG_NOSIGNAL | MSG_MORE : MSG_NOSIGNAL);

    return n < 0 ? -errno : n;
}

static ssize_t tcp_write_vector(struct transport *transport, const struct iovec *vectors, int count)
{
    struct msghdr message = { .msg_iov = (struct iovec *)(uintptr_t)vectors, .msg_iovlen = (size_t)count };
    ssize_t n = sendmsg(transport->fd, &message, MSG_NOSIGNAL);

    return n < 0 ? -errno : n;
}

/* Setting TCP_NODELAY, set as it is, sends what MSG_MORE held back (tcp(7)). */
static void tcp_push(struct transport *transport)
{
    sockopt_set_nodelay(transport->fd);
}

/* It owes nothing. */
static int tcp_flush(struct transport *transport)
{
    (void)transport;
    return 0;
}

static int tcp_shut_write(struct transport *transport)
{
    return shutdown(transport->fd, SHUT_WR) < 0 ? -errno : 0;
}

/* SO_ERROR and not POLLHUP, which also tells that both sides have finished in good order, perhaps with bytes unread. */
static int tcp_cut_error(const struct transport *transport)
{
    return sockopt_take_error(transport->fd);
}

static void tcp_close(struct transport *transport, enum transport_closing how)
{
    if (how == TRANSPORT_CLOSE_RESET)
        sockopt_reset_on_close(transport->fd);
    close(transport->fd);
}

static const struct transport_ops tcp_ops = {
    .read = tcp_read,
    .write = tcp_write,
    .write_vector = tcp_write_vector,
    .push = tcp_push,
    .flush = tcp_flush,
    .shut_write = tcp_shut_write,
    .cut_error = tcp_cut_error,
    .close = tcp_close,
};

void transport_tcp_open(struct transport *transport, int fd, struct event_base *base, event_callback_fn callback,
                        void *owner)
{
    transport->ops = &tcp_ops;
    transport->fd = fd;
    transport->has_more = false;
    transport->owed_bytes = 0;
    transport->carrier = NULL;
    transport->interest = TRANSPORT_NOTHING;
    event_assign(&transport->event, base, fd, 0, callback, owner);
}

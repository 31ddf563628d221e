/* A stream that is a carrier's only one. */
#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proxy/net/sockopt.h"
#include "proxy/net/transport.h"
#include "proxy/tls/carrier.h"

/* After every call. */
static void look(struct transport *transport)
{
    transport->owed_bytes = (unsigned)carrier_owes(transport->carrier);
    transport->has_more = carrier_has_more(transport->carrier);
}

static ssize_t tls_read(struct transport *transport, void *bytes, size_t size)
{
    ssize_t n = carrier_read(transport->carrier, transport->fd, bytes, size);

    look(transport);
    if (n <= 0 && n != -EAGAIN)
        transport->has_more = false; /* it was told */
    return n;
}

static ssize_t tls_write_vector_more(struct transport *transport, const struct iovec *vectors, int count, bool more)
{
    ssize_t n = carrier_write(transport->carrier, transport->fd, vectors, count, more);

    transport->owed_bytes = (unsigned)carrier_owes(transport->carrier);
    return n;
}

static ssize_t tls_write(struct transport *transport, const void *bytes, size_t length, bool more)
{
    struct iovec vector = { .iov_base = (void *)(uintptr_t)bytes, .iov_len = length };

    return tls_write_vector_more(transport, &vector, 1, more);
}

static ssize_t tls_write_vector(struct transport *transport, const struct iovec *vectors, int count)
{
    return tls_write_vector_more(transport, vectors, count, false);
}

static void tls_push(struct transport *transport)
{
    sockopt_set_nodelay(transport->fd);
}

static int tls_flush(struct transport *transport)
{
    int r = carrier_flush(transport->carrier, transport->fd);

    transport->owed_bytes = (unsigned)carrier_owes(transport->carrier);
    return r;
}

/* RFC 8446, 6.1: "Each party MUST send a \"close_notify\" alert before closing its write side of the connection". */
static int tls_shut_write(struct transport *transport)
{
    int r = carrier_finish(transport->carrier, transport->fd);

    transport->owed_bytes = (unsigned)carrier_owes(transport->carrier);
    if (r < 0)
        return r;
    return shutdown(transport->fd, SHUT_WR) < 0 ? -errno : 0;
}

static int tls_cut_error(const struct transport *transport)
{
    return sockopt_take_error(transport->fd);
}

static void tls_close(struct transport *transport, enum transport_closing how)
{
    if (how == TRANSPORT_CLOSE_RESET)
        sockopt_reset_on_close(transport->fd);
    close(transport->fd);
    carrier_free(transport->carrier);
    transport->carrier = NULL;
}

static const struct transport_ops tls_ops = {
    .read = tls_read,
    .write = tls_write,
    .write_vector = tls_write_vector,
    .push = tls_push,
    .flush = tls_flush,
    .shut_write = tls_shut_write,
    .cut_error = tls_cut_error,
    .close = tls_close,
};

void transport_tls_begin(struct transport *transport, struct carrier *carrier)
{
    transport->ops = &tls_ops;
    transport->carrier = carrier;
}

int transport_tls_handshake(struct transport *transport, const struct name_list *expected)
{
    int r = carrier_handshake(transport->carrier, transport->fd, expected), asked;

    look(transport);
    if (r != -EAGAIN)
        return r;
    asked = transport_set_interest(transport, transport->owed_bytes > 0 ? TRANSPORT_READ_WRITE : TRANSPORT_READ);
    return asked < 0 ? asked : r;
}

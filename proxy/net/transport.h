/*
 * One end of a connection as the relay sees it: bytes in, bytes out, an orderly or an abortive end, and what to be told
 * about. Implementations: a plain socket (transport_tcp.c); TLS has the same table.
 *
 * Owner: the connection it is part of. Thread: its worker's.
 */
#pragma once

#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>
#include <sys/uio.h>

struct transport;

enum transport_closing {
    TRANSPORT_CLOSE,       /* what was written still arrives, then FIN */
    TRANSPORT_CLOSE_RESET, /* the peer gets RST */
};

struct transport_ops {
    /* Bytes read, 0 at the orderly end (FIN), -EAGAIN when there are none now, or another negative errno: a cut. */
    ssize_t (*read)(struct transport *transport, void *bytes, size_t size);

    /*
     * Bytes taken (fewer than `length` means full for now), -EAGAIN when none, or another negative errno: a cut. With
     * `more` they may wait in the kernel for what follows in this turn, so that both travel in one packet; push(),
     * shut_write() or close(TRANSPORT_CLOSE) sends them off.
     */
    ssize_t (*write)(struct transport *transport, const void *bytes, size_t length, bool more);
    ssize_t (*write_vector)(struct transport *transport, const struct iovec *vectors, int count);

    /* Sends off what `more` held back; nothing when there is nothing. */
    void (*push)(struct transport *transport);

    /* Sends FIN behind what was written. Returns 0 or a negative errno. */
    int (*shut_write)(struct transport *transport);

    /*
     * 0 while the stream is whole, or the negative errno with which the peer cut it. That is told once: afterwards
     * read() gives what is left, and then 0.
     */
    int (*cut_error)(const struct transport *transport);

    void (*close)(struct transport *transport, enum transport_closing how);
};

/* What the owner is told about. Level-triggered, but for the last two. */
enum transport_interest {
    TRANSPORT_NOTHING,
    TRANSPORT_READ,
    TRANSPORT_WRITE,
    TRANSPORT_READ_WRITE,
    TRANSPORT_ARRIVALS, /* as TRANSPORT_READ, but told once for each arrival: for who does not take what is there */
    TRANSPORT_WATCH,    /* only a cut, as EV_WRITE; one such event may come without a cause */
};

struct transport {
    const struct transport_ops *ops; /* NULL: closed, or never opened */
    int fd;
    enum transport_interest interest;
    struct event event; /* one for both directions: it keeps an idle connection small */
};

/*
 * Takes over the non-blocking socket `fd`. `callback` gets EV_READ and EV_WRITE with `owner`, and with EV_READ also
 * EV_CLOSED when the orderly end (FIN) is behind the bytes that can be read.
 */
void transport_tcp_open(struct transport *transport, int fd, struct event_base *base, event_callback_fn callback,
                        void *owner);

/* Makes no system call when nothing changes. Returns 0 or -ENOMEM. */
int transport_set_interest(struct transport *transport, enum transport_interest interest);

/* Does nothing when it is not open. */
void transport_close(struct transport *transport, enum transport_closing how);

static inline bool transport_is_open(const struct transport *transport)
{
    return transport->ops != NULL;
}

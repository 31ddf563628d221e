/*
 * One end of a connection as the relay sees it: bytes in, bytes out, an orderly or an abortive end, and what to be told
 * about. Implementations: a plain socket (transport_tcp.c), and TLS (tls/transport_tls.c).
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

struct carrier;
struct name_list;
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

    /* Sends what is owed (transport->owed_bytes). 0 when nothing is left, -EAGAIN, or another negative errno: a cut. */
    int (*flush)(struct transport *transport);

    /*
     * Sends the orderly end behind what was written. Returns 0, or -EAGAIN when that is owed: to be called again when
     * it was flushed; or another negative errno.
     */
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
    unsigned owed_bytes;     /* taken by write(), and not by the kernel yet; until flush() it takes no more */
    bool has_more;           /* read() has something to give (bytes, an end) although the socket may be quiet */
    struct carrier *carrier; /* TLS: what it goes through; NULL: a plain socket */
    struct event event;      /* one for both directions: it keeps an idle connection small */
};

/*
 * Takes over the non-blocking socket `fd`. `callback` gets EV_READ and EV_WRITE with `owner`, and with EV_READ also
 * EV_CLOSED when the orderly end (FIN) is behind the bytes that can be read.
 */
void transport_tcp_open(struct transport *transport, int fd, struct event_base *base, event_callback_fn callback,
                        void *owner);

/*
 * The same over TLS, in the place of a plain one that is open; what is asked for stays asked for. Takes over `carrier`,
 * whose handshake goes on with transport_tls_handshake().
 */
void transport_tls_begin(struct transport *transport, struct carrier *carrier);

/* As carrier_handshake(); asks for the events that it needs. */
int transport_tls_handshake(struct transport *transport, const struct name_list *expected);

/* From now on libevent calls somebody else. Asks for nothing any more. */
void transport_set_owner(struct transport *transport, event_callback_fn callback, void *owner);

/* Moves `from`, which is closed afterwards without its socket's knowing, to `to`. Asks for nothing any more. */
void transport_move(struct transport *to, struct transport *from, event_callback_fn callback, void *owner);

/*
 * Makes no system call when nothing changes. With has_more, asking to read brings EV_READ in this turn or the next.
 * Returns 0 or -ENOMEM.
 */
int transport_set_interest(struct transport *transport, enum transport_interest interest);

/* Does nothing when it is not open. */
void transport_close(struct transport *transport, enum transport_closing how);

/* close(TRANSPORT_CLOSE) alone sends the orderly end. TLS sends close_notify before. */
static inline bool transport_close_finishes(const struct transport *transport)
{
    return !transport->carrier;
}

static inline bool transport_is_open(const struct transport *transport)
{
    return transport->ops != NULL;
}

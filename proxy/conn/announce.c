#include "proxy/conn/announce.h"

#include <errno.h>
#include <event2/event.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "proxy/conn/admission.h"
#include "proxy/conn/conn.h"
#include "proxy/conn/connect.h"
#include "proxy/conn/secure.h"
#include "proxy/net/proxy_header.h"
#include "proxy/worker/worker.h"

#define PATIENCE_MS 3000

/* What was announced; only a connection of such a listener has it. */
struct announcement {
    union inet_address source, destination;
};

void announce_await(struct conn *conn)
{
    conn_move(conn, CONN_ANNOUNCING);
    if (transport_set_interest(&conn->client.transport, TRANSPORT_ARRIVALS) < 0) {
        conn_end(conn, END_NO_MEMORY);
        return;
    }
    timers_arm_exact(&conn->worker->timers, &conn->timer, conn->started_ms + PATIENCE_MS);
}

/* Takes the header off the stream. Returns 0 or -ENOMEM. */
static int take(struct conn *conn, const struct proxy_header *header)
{
    struct announcement *announcement = calloc(1, sizeof *announcement);

    if (!announcement)
        return -ENOMEM;
    *announcement = (struct announcement){ header->source, header->destination };
    conn->announcement = announcement;
    /* It was seen there, so it is there. */
    recv(conn->client.transport.fd, conn->worker->means.scratch, header->length, 0);
    return 0;
}

void announce_on_client(struct conn *conn, short what)
{
    const struct transport *client = &conn->client.transport;
    char *bytes = conn->worker->means.scratch;
    struct proxy_header header;
    ssize_t n;

    if (client->ops->cut_error(client) < 0) {
        conn_end(conn, END_CLIENT_GONE);
        return;
    }
    n = recv(client->fd, bytes, PROXY_HEADER_MOST_BYTES, MSG_PEEK);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    switch (proxy_header_parse((const uint8_t *)bytes, n > 0 ? (size_t)n : 0, &header)) {
    case PROXY_HEADER_INCOMPLETE:
        if (n <= 0 || what & EV_CLOSED)
            conn_end(conn, END_CLIENT_GONE);
        return;
    case PROXY_HEADER_INVALID:
        conn_end(conn, END_PROXY_PROTOCOL);
        return;
    case PROXY_HEADER_COMPLETE:
        break;
    }
    timers_cancel(&conn->worker->timers, &conn->timer);
    transport_set_interest(&conn->client.transport, TRANSPORT_NOTHING);
    if (take(conn, &header) < 0)
        conn_end(conn, END_NO_MEMORY);
    else if (admission_begin(conn))
        connect_begin(conn);
}

void announce_on_timer(struct conn *conn)
{
    conn_end(conn, END_PROXY_PROTOCOL);
}

union inet_address announce_client(const struct conn *conn)
{
    return conn->announcement && conn->announcement->source.family != AF_UNSPEC ? conn->announcement->source
                                                                                : conn->peer;
}

/* Where the client was going: as announced, before it was redirected, or where it came in. */
static union inet_address destination_of(const struct conn *conn)
{
    union inet_address own;
    socklen_t length = sizeof own;

    if (conn->announcement && conn->announcement->destination.family != AF_UNSPEC)
        return conn->announcement->destination;
    if (conn->original.family != AF_UNSPEC)
        return conn->original;
    if (getsockname(conn->client.transport.fd, &own.any, &length) < 0)
        own = (union inet_address){ 0 };
    return own;
}

void announce_to_upstream(struct conn *conn)
{
    const struct cluster_config *config = conn->cluster->config;
    enum proxy_protocol protocol = (enum proxy_protocol)config->proxy_protocol;
    const struct spiffe_id *identity = config->proxy_protocol_identity ? secure_client(conn) : NULL;
    struct transport *upstream = &conn->upstream.transport;
    union inet_address source, destination;
    uint8_t header[PROXY_HEADER_SIZE + PROXY_HEADER_IDENTITY_MOST + 3];
    size_t length;

    if (protocol == PROXY_PROTOCOL_NONE || conn->upstream.announced ||
        (config->proxy_protocol_identity && conn->is_undecided))
        return;
    conn->upstream.announced = true;
    source = announce_client(conn);
    destination = destination_of(conn);
    length = proxy_header_write(protocol == PROXY_PROTOCOL_V1 ? 1 : 2, &source, &destination, header);
    if (identity && protocol == PROXY_PROTOCOL_V2)
        length = proxy_header_add_identity(header, length, identity->text, identity->length);
    /* A new connection takes so little at once, or is cut: then the read that follows finds that. */
    upstream->ops->write(upstream, header, length, false);
    conn->upstream.written = true;
}

void announce_end(struct conn *conn)
{
    free(conn->announcement);
    conn->announcement = NULL;
}

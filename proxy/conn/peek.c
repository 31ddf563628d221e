#include "proxy/conn/peek.h"

#include <errno.h>
#include <event2/event.h>
#include <sys/socket.h>

#include "proxy/conn/conn.h"
#include "proxy/conn/routing.h"
#include "proxy/net/client_hello.h"
#include "proxy/worker/worker.h"

static void decide(struct conn *conn, const char *name)
{
    timers_cancel(&conn->worker->timers, &conn->timer);
    routing_go_on(conn, name);
}

void peek_begin(struct conn *conn)
{
    struct worker *worker = conn->worker;

    conn_move(conn, CONN_PEEKING);
    if (transport_set_interest(&conn->client.transport, TRANSPORT_ARRIVALS) < 0) {
        conn_end(conn, END_NO_MEMORY);
        return;
    }
    timers_arm_exact(&worker->timers, &conn->timer,
                     conn->started_ms + conn->snapshot->config->intercept.outbound.inspect_delay_ms);
}

void peek_on_client(struct conn *conn, short what)
{
    const struct transport *client = &conn->client.transport;
    char *bytes = conn->worker->means.scratch;
    struct client_hello hello;
    ssize_t n;

    if (client->ops->cut_error(client) < 0) {
        conn_end(conn, END_CLIENT_GONE);
        return;
    }
    n = recv(client->fd, bytes, CLIENT_HELLO_MOST_BYTES, MSG_PEEK);
    if (n < 0 && errno != EAGAIN && errno != EINTR) {
        conn_end(conn, END_CLIENT_GONE);
        return;
    }
    switch (client_hello_parse((const uint8_t *)bytes, n > 0 ? (size_t)n : 0, &hello)) {
    case CLIENT_HELLO_INCOMPLETE:
        if (what & EV_CLOSED || n == 0)
            decide(conn, "");
        return;
    case CLIENT_HELLO_NOT_TLS:
        decide(conn, "");
        return;
    case CLIENT_HELLO_COMPLETE:
        decide(conn, hello.name);
        return;
    }
}

void peek_on_timer(struct conn *conn)
{
    decide(conn, "");
}

#include "proxy/conn/transparent.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/macros.h"
#include "proxy/conn/conn.h"
#include "proxy/net/dialer.h"
#include "proxy/worker/worker.h"

#define SLOTS 65536

/*
 * A client's ports mostly come from one side of this (Linux 32768-60999, Windows and BSD 49152-65535); those towards
 * the app come from the other, so that a later connection of the client hardly ever meets one.
 */
#define MIDDLE_PORT  32768
#define LOWEST_PORT  1024
#define HIGHEST_PORT 65535
#define MOST_PORTS   32 /* tried */

struct transparent_ports {
    _Atomic uint32_t counts[SLOTS];
};

int transparent_ports_new(struct transparent_ports **ret_ports)
{
    *ret_ports = calloc(1, sizeof **ret_ports);
    return *ret_ports ? 0 : -ENOMEM;
}

void transparent_ports_free(struct transparent_ports *ports)
{
    free(ports);
}

/* FNV-1a over address and port, folded. */
static uint16_t slot_of(const union inet_address *client)
{
    const uint8_t *bytes = client->family == AF_INET ? (const uint8_t *)&client->in.sin_addr
                                                     : client->in6.sin6_addr.s6_addr;
    size_t length = client->family == AF_INET ? sizeof client->in.sin_addr : sizeof client->in6.sin6_addr;
    uint16_t port = sockaddr_port(&client->any);
    uint32_t hash = 2166136261U;

    for (size_t i = 0; i < length; i++)
        hash = (hash ^ bytes[i]) * 16777619U;
    hash = (hash ^ (port & 0xff)) * 16777619U;
    hash = (hash ^ (port >> 8)) * 16777619U;
    return (uint16_t)(hash ^ hash >> 16);
}

bool transparent_begin(struct conn *conn, const struct listener *listener)
{
    struct transparent_ports *ports = conn->worker->shared->transparent_ports;
    union inet_address own;
    socklen_t length = sizeof own;

    if (!listener->transparent || getsockname(conn->client.transport.fd, &own.any, &length) < 0 ||
        sockaddr_port(&own.any) == sockaddr_port(&listener->address.any))
        return false;
    conn->original = own;
    conn->transparent = true;
    conn->client_slot = slot_of(&conn->peer);
    atomic_fetch_add_explicit(&ports->counts[conn->client_slot], 1, memory_order_relaxed);
    return true;
}

void transparent_end(struct conn *conn)
{
    struct transparent_ports *ports = conn->worker->shared->transparent_ports;

    if (conn->transparent)
        atomic_fetch_sub_explicit(&ports->counts[conn->client_slot], 1, memory_order_relaxed);
    conn->transparent = false;
}

/* A random port that no client seems to use; `is_low`: the client's own is below the middle. Returns whether there is
 * one. */
static bool choose_port(struct worker *worker, bool is_low, union inet_address *client)
{
    const struct transparent_ports *ports = worker->shared->transparent_ports;
    unsigned first = is_low ? MIDDLE_PORT : LOWEST_PORT;
    unsigned count = is_low ? HIGHEST_PORT - MIDDLE_PORT + 1 : MIDDLE_PORT - LOWEST_PORT;

    for (int i = 0; i < MOST_PORTS; i++) {
        sockaddr_set_port(&client->any, (uint16_t)(first + random_below(&worker->random, count)));
        if (atomic_load_explicit(&ports->counts[slot_of(client)], memory_order_relaxed) == 0)
            return true;
    }
    return false;
}

int transparent_dial(struct conn *conn, const struct sockaddr *destination, int *ret_fd, bool *ret_in_progress)
{
    uint32_t mark = (uint32_t)conn->snapshot->config->intercept.inbound.tproxy_mark;
    union inet_address client = conn->peer;
    bool is_low = sockaddr_port(&client.any) < MIDDLE_PORT;

    for (int i = 0; i < MOST_PORTS; i++) {
        int r;

        if (!choose_port(conn->worker, is_low, &client))
            break;
        r = dialer_connect_as(destination, &client.any, mark, ret_fd, ret_in_progress);
        if (r != -EADDRNOTAVAIL && r != -EADDRINUSE)
            return r;
    }
    return -EADDRNOTAVAIL;
}

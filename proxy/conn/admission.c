#include "proxy/conn/admission.h"

#include <errno.h>
#include <stddef.h>

#include "proxy/conn/announce.h"
#include "proxy/conn/conn.h"
#include "proxy/policy/tally.h"
#include "proxy/worker/worker.h"

/* Takes one place of `most`, unless there is no limit. Returns false when there was none: then it has ended. */
static bool take(struct conn *conn, bool *ret_holds, const void *scope, const union inet_address *source, uint64_t most,
                 enum end_reason reason)
{
    int r;

    if (most == CONFIG_UNLIMITED)
        return true;
    r = tally_take(conn->worker->shared->limits.clients, scope, source, most);
    if (r < 0) {
        conn_end(conn, r == -ENOMEM ? END_NO_MEMORY : reason);
        return false;
    }
    *ret_holds = true;
    return true;
}

/* Not inlined, so that its frame costs nothing where there is no limit. */
static __attribute__((noinline)) bool take_places(struct conn *conn, uint64_t most_per_source,
                                                  const struct client_limits_config *port)
{
    const void *process = &conn->worker->shared->limits, *cluster = conn->cluster->state;
    union inet_address source = announce_client(conn);

    return take(conn, &conn->holds_source, process, &source, most_per_source, END_MAX_CONNECTIONS_PER_SOURCE) &&
           take(conn, &conn->holds_port, cluster, NULL, port->max_connections, END_MAX_CONNECTIONS) &&
           take(conn, &conn->holds_port_source, cluster, &source, port->max_connections_per_source,
                END_MAX_CONNECTIONS_PER_SOURCE);
}

bool admission_begin(struct conn *conn)
{
    const struct client_limits_config *port = &conn->cluster->config->client_limits;
    uint64_t most_per_source = conn->snapshot->config->limits.max_connections_per_source;

    if (most_per_source == CONFIG_UNLIMITED && port->max_connections == CONFIG_UNLIMITED &&
        port->max_connections_per_source == CONFIG_UNLIMITED)
        return true;
    return take_places(conn, most_per_source, port);
}

static void give(struct conn *conn, bool *holds, const void *scope, const union inet_address *source)
{
    if (*holds)
        tally_give(conn->worker->shared->limits.clients, scope, source);
    *holds = false;
}

static __attribute__((noinline)) void give_places(struct conn *conn)
{
    const void *process = &conn->worker->shared->limits, *cluster = conn->cluster->state;
    union inet_address source = announce_client(conn);

    give(conn, &conn->holds_source, process, &source);
    give(conn, &conn->holds_port, cluster, NULL);
    give(conn, &conn->holds_port_source, cluster, &source);
}

void admission_end(struct conn *conn)
{
    if (conn->holds_source || conn->holds_port || conn->holds_port_source)
        give_places(conn);
}

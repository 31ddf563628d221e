#include "proxy/conn/authorize.h"

#include "base/macros.h"
#include "proxy/conn/announce.h"
#include "proxy/conn/conn.h"
#include "proxy/conn/secure.h"
#include "proxy/policy/authorization.h"
#include "proxy/worker/worker.h"

/* The newest that the worker has: a connection may stay with an older configuration for its cluster, not for its
 * rights. */
static const struct config *rules_of(const struct conn *conn)
{
    return conn->worker->snapshot->config;
}

static bool has_rules(const struct conn *conn)
{
    return rules_of(conn)->authorization.count > 0 && conn->direction == DIRECTION_INBOUND;
}

bool authorize_allows(const struct conn *conn)
{
    struct authorization_subject subject = { .identity = secure_client(conn),
                                             .port = sockaddr_port(&conn->original.any) };
    union inet_address client;
    size_t rule;

    if (!has_rules(conn))
        return true;
    client = announce_client(conn);
    subject.source = &client.any;
    return authorization_allows(rules_of(conn), &subject, &rule);
}

bool authorize_may_allow(const struct conn *conn)
{
    struct authorization_subject subject = { .port = sockaddr_port(&conn->original.any) };
    union inet_address client;

    if (!has_rules(conn))
        return true;
    client = announce_client(conn);
    subject.source = &client.any;
    return authorization_may_allow(rules_of(conn), &subject);
}

/* Those whose client is not known yet are asked about when it is. */
static bool is_decided(const struct conn *conn)
{
    return !conn->is_undecided && conn->state != CONN_AWAITING_HELLO && conn->state != CONN_SECURING &&
           conn->state != CONN_REFUSING && conn->state != CONN_CUTTING;
}

void authorize_again(struct worker *worker)
{
    struct list_node *next;

    for (struct list_node *node = worker->connections.next; node != &worker->connections; node = next) {
        struct conn *conn = CONTAINER_OF(node, struct conn, in_worker);

        next = node->next;
        if (is_decided(conn) && !authorize_allows(conn))
            conn_end(conn, END_DENIED);
    }
}

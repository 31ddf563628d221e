#include "proxy/conn/authorize.h"

#include "base/macros.h"
#include "proxy/conn/announce.h"
#include "proxy/conn/conn.h"
#include "proxy/conn/secure.h"
#include "proxy/policy/authorization.h"
#include "proxy/worker/worker.h"

static bool has_rules(const struct conn *conn)
{
    return conn->snapshot->config->authorization.count > 0 && conn->direction == DIRECTION_INBOUND;
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
    return authorization_allows(conn->snapshot->config, &subject, &rule);
}

bool authorize_may_allow(const struct conn *conn)
{
    struct authorization_subject subject = { .port = sockaddr_port(&conn->original.any) };
    union inet_address client;

    if (!has_rules(conn))
        return true;
    client = announce_client(conn);
    subject.source = &client.any;
    return authorization_may_allow(conn->snapshot->config, &subject);
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

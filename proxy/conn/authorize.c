#include "proxy/conn/authorize.h"

#include "base/macros.h"
#include "proxy/conn/announce.h"
#include "proxy/conn/conn.h"
#include "proxy/policy/authorization.h"
#include "proxy/worker/worker.h"

bool authorize_allows(const struct conn *conn)
{
    const struct config *config = conn->snapshot->config;
    struct authorization_subject subject = { .port = sockaddr_port(&conn->original.any) };
    union inet_address client;
    size_t rule;

    if (config->authorization.count == 0 || conn->direction != DIRECTION_INBOUND)
        return true;
    client = announce_client(conn);
    subject.source = &client.any;
    return authorization_allows(config, &subject, &rule);
}

void authorize_again(struct worker *worker)
{
    struct list_node *next;

    for (struct list_node *node = worker->connections.next; node != &worker->connections; node = next) {
        struct conn *conn = CONTAINER_OF(node, struct conn, in_worker);

        next = node->next;
        if (conn->state != CONN_CUTTING && !authorize_allows(conn))
            conn_end(conn, END_DENIED);
    }
}

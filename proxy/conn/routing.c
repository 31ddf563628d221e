#include "proxy/conn/routing.h"

#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>

#include "base/interception.h"
#include "proxy/conn/admission.h"
#include "proxy/conn/announce.h"
#include "proxy/conn/authorize.h"
#include "proxy/conn/conn.h"
#include "proxy/conn/connect.h"
#include "proxy/conn/detect.h"
#include "proxy/conn/peek.h"
#include "proxy/conn/transparent.h"
#include "proxy/net/dialer.h"
#include "proxy/net/original_dst.h"
#include "proxy/worker/worker.h"

/* See base/interception.h. */
static bool is_probe(const struct conn *conn)
{
    bool has_probe_port = sockaddr_port(&conn->original.any) == INTERCEPTION_PROBE_PORT;

    if (conn->direction == DIRECTION_INBOUND)
        return has_probe_port && interception_is_app_source(&conn->original.any);
    return interception_is_probe_address(&conn->original.any) ||
           (has_probe_port && sockaddr_port(&conn->peer.any) == INTERCEPTION_PROBE_PORT);
}

/* The answer to outrigger-init verify: that the proxy is here, where the probe was going, and how it is configured. */
static void answer_probe(struct conn *conn)
{
    const struct intercept_config *intercept = &conn->snapshot->config->intercept;
    bool is_tproxy = intercept->inbound.mode == INBOUND_TPROXY;
    char destination[SOCKADDR_TEXT_SIZE], line[INTERCEPTION_PROBE_ANSWER_SIZE];
    int length = snprintf(line, sizeof line, INTERCEPTION_PROBE_ANSWER,
                          sockaddr_format(&conn->original.any, destination),
                          is_tproxy ? INTERCEPTION_MODE_TPROXY : INTERCEPTION_MODE_REDIRECT,
                          is_tproxy ? (unsigned)intercept->inbound.tproxy_mark : 0);

    conn->client.transport.ops->write(&conn->client.transport, line, (size_t)length, false);
    conn_end(conn, END_PROBE);
}

/* Dialling an own capture port would come back here, and again. */
static bool is_loop(const struct conn *conn)
{
    const struct intercept_config *intercept = &conn->snapshot->config->intercept;
    uint16_t port = sockaddr_port(&conn->original.any);

    return (port == intercept->outbound.port || port == intercept->inbound.port) &&
           dialer_address_is_local(&conn->original.any);
}

static void go_to(struct conn *conn, struct cluster *cluster)
{
    conn_enter_cluster(conn, cluster);
    connect_begin(conn);
}

static void follow(struct conn *conn, const struct match_rule *rule)
{
    struct cluster_set *clusters = conn->snapshot->clusters;

    if (rule)
        go_to(conn, &clusters->clusters[rule->cluster]);
    else if (conn->snapshot->config->intercept.outbound.unmatched == UNMATCHED_REFUSE)
        conn_end(conn, END_UNMATCHED);
    else
        go_to(conn, clusters->passthrough);
}

/* Nothing is dialled for a client who may not reach the app as it is, or may yet prove an identity that may. */
static void let_in(struct conn *conn)
{
    enum inbound_tls_mode mode = (enum inbound_tls_mode)conn->cluster->config->client_tls.mode;
    bool is_allowed = mode != INBOUND_TLS_STRICT && authorize_allows(conn);

    if (is_allowed) {
        conn->is_undecided = mode == INBOUND_TLS_PERMISSIVE;
        connect_begin(conn);
    } else if (mode != INBOUND_TLS_DISABLED && authorize_may_allow(conn)) {
        detect_await_hello(conn);
    } else {
        conn_end(conn, END_DENIED);
    }
}

void routing_begin(struct conn *conn, const struct listener *listener)
{
    struct cluster_set *clusters = conn->snapshot->clusters;
    const struct match_rule *rule;

    if (conn->direction == DIRECTION_LISTENER) {
        conn_enter_cluster(conn, listener->cluster);
        if (listener->accepts_proxy_header)
            announce_await(conn);
        else if (admission_begin(conn))
            connect_begin(conn);
        return;
    }
    if (!transparent_begin(conn, listener) &&
        original_dst_get(conn->client.transport.fd, listener->address.family, &conn->original) < 0) {
        conn_end(conn, END_NOT_INTERCEPTED);
        return;
    }
    if (is_loop(conn)) {
        conn_end(conn, sockaddr_port(&conn->original.any) == sockaddr_port(&listener->address.any) ? END_NOT_INTERCEPTED
                                                                                                   : END_LOOP);
        return;
    }
    if (is_probe(conn)) {
        answer_probe(conn);
        return;
    }
    if (conn->direction == DIRECTION_INBOUND) {
        conn_enter_cluster(conn, cluster_set_match_inbound(clusters, sockaddr_port(&conn->original.any)));
        if (admission_begin(conn))
            let_in(conn);
        return;
    }
    rule = route_find(router_view_get(&conn->worker->routes, &clusters->router), &conn->original.any);
    if (rule && rule->sni_kind == MATCH_SNI_PEEK)
        peek_begin(conn);
    else
        follow(conn, rule);
}

void routing_go_on(struct conn *conn, const char *name)
{
    struct router *router = &conn->snapshot->clusters->router;

    follow(conn, route_find_named(router_view_get(&conn->worker->routes, router), &conn->original.any, name));
}

#include "proxy/conn/dial.h"

#include <errno.h>

#include "base/interception.h"
#include "proxy/conn/conn.h"
#include "proxy/conn/transparent.h"
#include "proxy/net/dialer.h"

const struct sockaddr *dial_destination(const struct conn *conn, const struct attempt_target *target)
{
    return target->endpoint ? &target->endpoint->address.any : &conn->original.any;
}

/*
 * Connections to the app come from 127.0.0.6 or ::6, which the redirect rules know and never capture. An endpoint
 * elsewhere cannot be reached from there and gets an ordinary source.
 */
static const struct sockaddr *source_of(const struct conn *conn, const struct attempt_target *target,
                                        const struct sockaddr *destination, union inet_address *source)
{
    if (conn->direction != DIRECTION_INBOUND || destination->sa_family == AF_UNIX)
        return NULL;
    if (target->endpoint && !sockaddr_is_loopback(destination))
        return NULL;
    if (sockaddr_parse_host(destination->sa_family == AF_INET ? INTERCEPTION_APP_SOURCE_IPV4
                                                              : INTERCEPTION_APP_SOURCE_IPV6,
                            0, source) < 0)
        return NULL;
    return &source->any;
}

/*
 * Only what is on this machine, and not on loopback, can answer another machine's address by way of the proxy.
 * Everything else gets an ordinary source.
 */
static bool keeps_client_address(const struct conn *conn, const struct attempt_target *target,
                                 const struct sockaddr *destination)
{
    if (!conn->transparent || destination->sa_family != conn->original.family || sockaddr_is_loopback(destination))
        return false;
    return !target->endpoint || dialer_address_is_local(destination);
}

/*
 * What answers from a link-local address would not get to the app sources. At ::1 it might be something that listens
 * for nobody else.
 */
static bool is_out_of_reach(const struct conn *conn, const struct attempt_target *target,
                            const struct sockaddr *destination)
{
    return conn->direction == DIRECTION_INBOUND && !target->endpoint && destination->sa_family == AF_INET6 &&
           IN6_IS_ADDR_LINKLOCAL(&((const struct sockaddr_in6 *)destination)->sin6_addr);
}

int dial_begin(struct conn *conn, const struct attempt_target *target, int *ret_fd, bool *ret_in_progress)
{
    const struct sockaddr *destination = dial_destination(conn, target);
    union inet_address source;

    if (is_out_of_reach(conn, target, destination))
        return -ENETUNREACH;
    if (keeps_client_address(conn, target, destination))
        return transparent_dial(conn, destination, ret_fd, ret_in_progress);
    return dialer_connect(destination, source_of(conn, target, destination, &source), ret_fd, ret_in_progress);
}

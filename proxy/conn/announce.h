/*
 * The PROXY protocol on both sides of a connection: on a listener with accept_proxy_protocol the client's first bytes
 * say who it is; a cluster with proxy_protocol is told so before anything else.
 */
#pragma once

#include "base/sockaddr.h"

struct conn;

/* Moves to ANNOUNCING: waits for the header, which must come first and within three seconds. Then connects. */
void announce_await(struct conn *conn);

/* The client's socket has an event; libevent's flags. */
void announce_on_client(struct conn *conn, short what);
void announce_on_timer(struct conn *conn);

/*
 * The upstream is connected: tells it, where the cluster wants that and as soon as all of it is known. To be called
 * again when the client is known; says it once.
 */
void announce_to_upstream(struct conn *conn);

/* Who the client is: as it was announced, else its socket's address. */
union inet_address announce_client(const struct conn *conn);

void announce_end(struct conn *conn);

/* Where a new connection goes. */
#pragma once

struct conn;
struct worker_listener;

/* What a probe of outrigger-init dials: documentation addresses (RFC 5737, RFC 3849) that no real traffic has. */
#define ROUTING_PROBE_IPV4 "192.0.2.2"
#define ROUTING_PROBE_IPV6 "2001:db8::2"
#define ROUTING_PROBE_PORT 15002

/* Finds the destination and the cluster, and begins to connect; or ends the connection. */
void routing_begin(struct conn *conn, const struct worker_listener *listener);

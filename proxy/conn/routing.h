/* Where a new connection goes. */
#pragma once

struct conn;
struct listener;

/* Finds the destination and the cluster, and begins to connect; or looks at the client's first bytes first; or ends it.
 */
void routing_begin(struct conn *conn, const struct listener *listener);

/* The server name is known, "" for none: goes on from PEEKING. */
void routing_go_on(struct conn *conn, const char *name);

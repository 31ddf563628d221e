/* Where a new connection goes. */
#pragma once

struct conn;
struct worker_listener;

/* Finds the destination and the cluster, and begins to connect; or ends the connection. */
void routing_begin(struct conn *conn, const struct worker_listener *listener);

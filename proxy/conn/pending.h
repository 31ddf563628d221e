/* Waiting for one of the cluster's connections to end (state PENDING). */
#pragma once

struct conn;
struct list_node;

/* Joins the cluster's queue, or ends the connection when that is full. Its turn comes by way of the worker's mailbox.
 */
void pending_begin(struct conn *conn);

/* A grant from the mailbox: the connection goes on to connect. */
void pending_on_grant(struct list_node *grant);

/* pending_timeout is over. */
void pending_on_timer(struct conn *conn);

/* The connection ends: leaves the queue, and gives back what was granted meanwhile. Nothing when it does not wait. */
void pending_end(struct conn *conn);

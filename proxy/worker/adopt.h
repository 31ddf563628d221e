/* How a worker changes over to another configuration. */
#pragma once

struct worker;

/*
 * Changes over to shared->snapshot: its sockets (those of listeners that are gone are drained first), its policies for
 * new connections, and for those that are there, if their cluster still exists. One whose cluster is gone stays with
 * the snapshot that it has. Takes time in proportion to the number of connections, allocates nothing, cannot fail.
 */
void adopt_snapshot(struct worker *worker);

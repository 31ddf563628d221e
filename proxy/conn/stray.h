/*
 * An attempt that lost the race against the one beside it. It goes on without its connection, only to learn whether its
 * endpoint is there: one that does not answer is to be ejected, although no connection waits for it.
 *
 * Beyond LIMITS_MOST_STRAYS (limits.h) losers are closed at once.
 *
 * Owner: the worker. Thread: its own.
 */
#pragma once

#include <stdint.h>

#include "proxy/net/transport.h"
#include "proxy/upstream/cluster.h"

struct conn;
struct worker;

/*
 * Takes over the socket of an attempt of the connection's, still connecting, and its target. It ends at `deadline_ms`
 * at the latest; should it fail, the connection's counters tell of it.
 */
void stray_begin(struct conn *conn, struct transport *transport, struct attempt_target *target, uint64_t deadline_ms);

/* Closes all of them. */
void strays_end(struct worker *worker);

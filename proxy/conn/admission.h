/*
 * How many clients may come in at one time: each source, over all inbound and plain listeners
 * (limits.max_connections_per_source), and those of an inbound port (intercept.inbound.ports[].limits). Thread: the
 * worker's.
 */
#pragma once

#include <stdbool.h>

struct conn;

/* Its client and its cluster are known. False: there is no place for it, and it has ended. */
bool admission_begin(struct conn *conn);

/* Gives back what it has. */
void admission_end(struct conn *conn);

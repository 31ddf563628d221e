/* Which clock guards a connection, and what happens when it runs out. */
#pragma once

#include <stdint.h>

struct conn;

void timeouts_init(struct conn *conn);

/* Decides when timeouts.max_duration will end it: up to a tenth earlier, so that many do not end together. */
void timeouts_limit_duration(struct conn *conn);

/* The upstream is connected, or ENDING is over: from now on the lazy clock of idle, half_close and dead_peer counts. */
void timeouts_begin(struct conn *conn, uint64_t now_ms);

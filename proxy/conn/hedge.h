/*
 * A second attempt beside one that has not connected for retry.hedge_after (state HEDGING): at another endpoint, within
 * attempts, budget and max_retries. The first to connect has the connection; the other becomes a stray (stray.h). When
 * one fails the other goes on alone.
 *
 * Owner: the connection. Thread: its worker's.
 */
#pragma once

#include <stdint.h>

struct conn;

/* An attempt is under way (CONNECTING): another may begin in hedge_after. */
void hedge_arm(struct conn *conn, uint64_t now_ms);

/* The attempt at conn->target has failed and was let go: the one beside it takes its place. HEDGING to CONNECTING. */
void hedge_promote(struct conn *conn);

/* The attempt at conn->target is connected: ends the one beside it, if any. */
void hedge_end(struct conn *conn);

/* The connection ends, or waits: there is no attempt beside any more. */
void hedge_cancel(struct conn *conn);

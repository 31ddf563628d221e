/* SECURING: the TLS handshake with a client, and who it has proven to be. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct conn;
struct side;
struct spiffe_id;
struct worker;

/*
 * The client's ClientHello is there. From AWAITING_HELLO and DETECTING moves to SECURING; REFUSING stays: its client is
 * told why when the handshake is done. Returns false when limits.tls_handshakes are under way; then nothing has
 * changed.
 */
bool secure_begin(struct conn *conn, uint64_t now_ms);

void secure_on_client(struct conn *conn);
void secure_on_timer(struct conn *conn);

/* The side's transport is closed before the connection ends: who it was is still to be told then. */
void secure_keep_peer(struct side *side);

/* The connection has ended: its handshake, if any, does too, and what was kept is freed. */
void secure_release(struct conn *conn);

/* Who the client is: NULL when it has not proven it. */
const struct spiffe_id *secure_client(const struct conn *conn);

/* Who the endpoint is. */
const struct spiffe_id *secure_endpoint(const struct conn *conn);

/* The worker's credentials are others: ends connections whose peers are revoked now. */
void secure_end_revoked(struct worker *worker);

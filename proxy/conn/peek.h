/*
 * PEEKING: a captured connection whose route depends on the server name of TLS. The client's first bytes are looked at
 * and stay in the kernel. What is no ClientHello, or none within intercept.outbound.inspect_delay, has no name.
 */
#pragma once

struct conn;

/* Moves to PEEKING. */
void peek_begin(struct conn *conn);

/* The client's socket has an event; libevent's flags. */
void peek_on_client(struct conn *conn, short what);

void peek_on_timer(struct conn *conn);

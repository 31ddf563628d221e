/*
 * Whether the client of an inbound connection is a sidecar that speaks the mesh's TLS. Its first bytes are looked at
 * and stay in the kernel.
 *
 *   AWAITING_HELLO  only who speaks it may reach the app: nothing is dialled before that is known
 *   DETECTING       anybody may; the app is connected already, and whoever speaks first decides
 *   REFUSING        anybody might have, but the app cannot be reached: a sidecar is told why, others are reset
 */
#pragma once

#include <stdint.h>

#include "proxy/observe/end_reason.h"

struct conn;

/* Each moves to the state of its name. */
void detect_await_hello(struct conn *conn);
void detect_begin(struct conn *conn, uint64_t now_ms);
void detect_refuse(struct conn *conn, enum end_reason reason);

/* The client's socket has an event; libevent's flags. */
void detect_on_client(struct conn *conn, short what);

/* DETECTING: the app has spoken, or ended. */
void detect_on_upstream(struct conn *conn);

void detect_on_timer(struct conn *conn, uint64_t now_ms);

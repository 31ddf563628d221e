/* Bytes and endings between a client and its connected upstream. */
#pragma once

#include <event2/util.h>
#include <stdint.h>

struct conn;

/* libevent callbacks of the two sides; the argument is the connection. */
void relay_on_client(evutil_socket_t fd, short what, void *conn);
void relay_on_upstream(evutil_socket_t fd, short what, void *conn);

/* While there is no upstream: only a cut of the client is of interest; its bytes wait in the kernel. */
void relay_watch_client(struct conn *conn);

/* The upstream is connected (AWAITING_REPLY): sends it what waits and lets bytes flow. */
void relay_begin(struct conn *conn, uint64_t now_ms);

/* The same for an upstream that was cut already, with `error`, and has bytes left to be read. */
void relay_begin_cut(struct conn *conn, int error, uint64_t now_ms);

/* What held a direction back (an injected fault) has passed. */
void relay_go_on(struct conn *conn, uint64_t now_ms);

/* ENDING's timer: the other end did not follow at once. */
void relay_on_ending_timer(struct conn *conn, uint64_t now_ms);

/* CUTTING's timer: goes on waiting, or ends the connection. */
void relay_on_cut_timer(struct conn *conn, uint64_t now_ms);

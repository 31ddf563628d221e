/* From the destination to an upstream that answers: attempts, retries, backoff. */
#pragma once

#include <event2/util.h>
#include <stdbool.h>
#include <stdint.h>

#include "proxy/observe/counters.h"

struct attempt_target;
struct conn;
struct transport;

/* It belongs to a cluster: injects that one's faults, if any, then connect_find_place(). */
void connect_begin(struct conn *conn);

/* Takes one of the cluster's connections, or waits for one, and makes the first attempt. */
void connect_find_place(struct conn *conn);

/* The cluster's connection was taken (or granted): makes the first attempt. */
void connect_with_place(struct conn *conn);

/* The upstream has sent its first byte, or has ended in order: nothing is tried again. */
void connect_answered(struct conn *conn, uint64_t now_ms);

/*
 * The upstream was cut. Returns true when it had not answered and something else is tried (or the connection ended over
 * that); else the caller goes on with the cut. What it means for the endpoint is told in both cases.
 */
bool connect_retries_cut(struct conn *conn, uint64_t now_ms);

/* timeouts.first_byte is over in AWAITING_REPLY: tries another endpoint, or ends the connection. */
void connect_on_first_byte_timeout(struct conn *conn, uint64_t now_ms);

/* The timeout or backoff of the current state is over. */
void connect_on_timer(struct conn *conn);

/* Gives back the cluster's connection, or its place in the queue, and the endpoint's. */
void connect_release(struct conn *conn);

/* libevent's callback while the attempt at conn->target is under way; the argument is the connection. */
void connect_on_event(evutil_socket_t fd, short what, void *conn);

/* The upstream is connected, and the client may have it: lets bytes flow. From CONNECTING, DETECTING and SECURING. */
void connect_go_on(struct conn *conn, uint64_t now_ms);

/* Of the attempts under way the one that is conn's upstream, at conn->target, is connected. */
void connect_won(struct conn *conn, uint64_t now_ms);

/* Counts and tells of a failed attempt. `transport` is the attempt's, open or not. */
void connect_count_failure(struct conn *conn, const struct attempt_target *target, const struct transport *transport,
                           enum connect_cause cause, int error);

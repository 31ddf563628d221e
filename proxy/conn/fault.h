/*
 * Injected faults of one connection (proxy/policy/faults.h). A connection without any has none of this: conn->fault is
 * NULL.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proxy/policy/faults.h"
#include "proxy/worker/timers.h"

struct conn;
struct conn_direction;

struct fault {
    struct conn *conn;
    struct fault_plan plan;
    struct fault_pace to_upstream, to_client;    /* with FAULT_BANDWIDTH */
    bool to_upstream_is_held, to_client_is_held; /* nothing is read before the timer */
    struct timer timer;
};

/* The cluster's faults are on: draws, then delays, refuses or connects. */
void fault_begin(struct conn *conn);

/* FAULT_DELAYED's timer. */
void fault_on_delay_over(struct conn *conn);

/* The most that a direction may read now. */
size_t fault_allowance(struct conn *conn, const struct conn_direction *direction, uint64_t now_ms);

/* So much was read: the direction may have to wait. */
void fault_count(struct conn *conn, const struct conn_direction *direction, size_t bytes, uint64_t now_ms);

bool fault_holds(const struct conn *conn, const struct conn_direction *direction);

/* Whether it is to be reset now. */
bool fault_reset_is_due(const struct conn *conn);

/* The connection ends. */
void fault_end(struct conn *conn);

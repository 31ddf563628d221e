/*
 * The life of a connection. One function moves it (conn_move), one ends it (conn_end).
 *
 *   NEW ──▶ PEEKING, ANNOUNCING, or AWAITING_HELLO ──▶ SECURING ──▶ FAULT_DELAYED ──▶ PENDING    each of these only
 *    │         │          │                              │              │                     where something asks
 *    └─────────┴─────┬────┴──────────────────────────────┴──────────────┘                     for it
 *                    ▼
 *   HEDGING ◀▶ CONNECTING ◀──▶ BACKOFF
 *    │         │   ▲   │
 *    ├─────────│───│───┴──▶ DETECTING ──▶ SECURING      permissive TLS: whether the client is a sidecar
 *    │         │   │            │            │          is not known before the app is connected;
 *    │         │   │            │            │          REFUSING where it cannot be
 *    └─────────┼───│────────────┴────────────┘
 *              ▼   │ retry: cut before the first byte of the reply
 *         AWAITING_REPLY ──▶ ESTABLISHED ──▶ ENDING ──▶ HALF_CLOSED
 *              │                  │            │            │
 *              └──────────────────┴────────────┴────────────┴──▶ CUTTING ──▶ CLOSED
 *
 * From every state there is a way to CLOSED.
 */
#pragma once

/* X(constant, name, legal successors, what guards it) */
#define CONN_STATES(X)                                                                                                \
    X(NEW, "new",                                                                                                     \
      BIT(PEEKING) | BIT(ANNOUNCING) | BIT(AWAITING_HELLO) | BIT(FAULT_DELAYED) | BIT(PENDING) | BIT(CONNECTING) |    \
          BIT(BACKOFF) | BIT(REFUSING),                                                                               \
      "nothing: it is left in the same turn")                                                                         \
    X(PEEKING, "peeking", BIT(FAULT_DELAYED) | BIT(PENDING) | BIT(CONNECTING) | BIT(BACKOFF),                         \
      "intercept.outbound.inspect_delay")                                                                             \
    X(ANNOUNCING, "announcing", BIT(FAULT_DELAYED) | BIT(PENDING) | BIT(CONNECTING) | BIT(BACKOFF), "three seconds")  \
    X(AWAITING_HELLO, "awaiting_hello", BIT(SECURING), "intercept.inbound.tls.handshake_timeout")                     \
    X(FAULT_DELAYED, "fault_delayed", BIT(PENDING) | BIT(CONNECTING) | BIT(BACKOFF) | BIT(REFUSING),                  \
      "faults.delay.time")                                                                                            \
    X(PENDING, "pending", BIT(CONNECTING) | BIT(BACKOFF) | BIT(REFUSING), "circuit_breaker.pending_timeout")          \
    X(CONNECTING, "connecting",                                                                                       \
      BIT(HEDGING) | BIT(BACKOFF) | BIT(AWAITING_REPLY) | BIT(CONNECTING) | BIT(DETECTING) | BIT(REFUSING),           \
      "timeouts.connect, retry.hedge_after")                                                                          \
    X(HEDGING, "hedging", BIT(CONNECTING) | BIT(AWAITING_REPLY) | BIT(DETECTING) | BIT(REFUSING),                     \
      "timeouts.connect of each of the two attempts")                                                                 \
    X(BACKOFF, "backoff", BIT(CONNECTING) | BIT(REFUSING), "retry.backoff")                                           \
    X(DETECTING, "detecting", BIT(SECURING) | BIT(AWAITING_REPLY),                                                    \
      "intercept.inbound.tls.detect once the app has spoken, handshake_timeout")                                      \
    X(SECURING, "securing", BIT(FAULT_DELAYED) | BIT(PENDING) | BIT(CONNECTING) | BIT(BACKOFF) | BIT(AWAITING_REPLY), \
      "intercept.inbound.tls.handshake_timeout")                                                                      \
    X(REFUSING, "refusing", 0, "intercept.inbound.tls.detect, then handshake_timeout")                                \
    X(AWAITING_REPLY, "awaiting_reply", BIT(CONNECTING) | BIT(BACKOFF) | BIT(ESTABLISHED) | BIT(CUTTING),             \
      "timeouts.first_byte, idle, half_close once the client has finished, max_duration, dead_peer")                  \
    X(ESTABLISHED, "established", BIT(ENDING) | BIT(CUTTING), "timeouts.idle, max_duration, dead_peer")               \
    X(ENDING, "ending", BIT(HALF_CLOSED) | BIT(CUTTING), "0.1 s, then half_closed")                                   \
    X(HALF_CLOSED, "half_closed", BIT(CUTTING), "timeouts.half_close, max_duration, dead_peer")                       \
    X(CUTTING, "cutting", 0, "one second without progress")                                                           \
    X(CLOSED, "closed", 0, "nothing")

enum conn_state {
#define X(constant, name, successors, guard) CONN_##constant,
    CONN_STATES(X)
#undef X
        CONN_STATE_COUNT
};

/*
 * Why a connection ended: one reason each, from this table; it feeds log, metric labels, status and
 * docs/end-reasons.md. The names are stable within configuration version 1.
 */
#pragma once

#include "proxy/net/transport.h"

/* X(constant, name, how both sides are closed, meaning) */
#define END_REASONS(X)                                                                                                \
    X(COMPLETED, "completed", TRANSPORT_CLOSE, "Both sides have finished sending and everything was delivered.")      \
    X(CLIENT_RESET, "client_reset", TRANSPORT_CLOSE_RESET, "The client cut the connection (RST).")                    \
    X(UPSTREAM_RESET, "upstream_reset", TRANSPORT_CLOSE_RESET, "The upstream cut the connection (RST).")              \
    X(CLIENT_GONE, "client_gone", TRANSPORT_CLOSE_RESET,                                                              \
      "The client cut the connection before the upstream was reached.")                                               \
    X(CONNECT_REFUSED, "connect_refused", TRANSPORT_CLOSE_RESET, "The last attempt was refused.")                     \
    X(CONNECT_TIMEOUT, "connect_timeout", TRANSPORT_CLOSE_RESET,                                                      \
      "The last attempt took longer than timeouts.connect.")                                                          \
    X(CONNECT_UNREACHABLE, "connect_unreachable", TRANSPORT_CLOSE_RESET,                                              \
      "The last attempt found no way to the upstream.")                                                               \
    X(CONNECT_FAILED, "connect_failed", TRANSPORT_CLOSE_RESET,                                                        \
      "The last attempt failed in another way; the log says how.")                                                    \
    X(CONNECT_TLS, "connect_tls", TRANSPORT_CLOSE_RESET,                                                              \
      "The TLS handshake of the last attempt failed; the log says how.")                                              \
    X(CONNECT_DENIED, "connect_denied", TRANSPORT_CLOSE_RESET,                                                        \
      "The endpoint's sidecar does not let this one reach its app.")                                                  \
    X(CLIENT_TLS, "client_tls", TRANSPORT_CLOSE_RESET, "The TLS handshake with the client failed; the log says how.") \
    X(CLIENT_TLS_TIMEOUT, "client_tls_timeout", TRANSPORT_CLOSE_RESET,                                                \
      "The TLS handshake with the client took longer than intercept.inbound.tls.handshake_timeout.")                  \
    X(TLS_REQUIRED, "tls_required", TRANSPORT_CLOSE_RESET,                                                            \
      "The client spoke something else than TLS to a port with tls.mode strict.")                                     \
    X(REVOKED, "revoked", TRANSPORT_CLOSE_RESET, "The certificate of one of its peers was revoked.")                  \
    X(UNMATCHED, "unmatched", TRANSPORT_CLOSE_RESET,                                                                  \
      "No cluster matches, and intercept.outbound.unmatched is refuse.")                                              \
    X(NO_ENDPOINT, "no_endpoint", TRANSPORT_CLOSE_RESET,                                                              \
      "The cluster has no endpoint, or none that is healthy where panic_threshold is 0%.")                            \
    X(CIRCUIT_BREAKER, "circuit_breaker", TRANSPORT_CLOSE_RESET,                                                      \
      "The cluster has circuit_breaker.max_connections already, and max_pending wait.")                               \
    X(PENDING_TIMEOUT, "pending_timeout", TRANSPORT_CLOSE_RESET,                                                      \
      "It waited for circuit_breaker.pending_timeout, and none of the cluster's connections ended.")                  \
    X(MAX_CONNECTIONS, "max_connections", TRANSPORT_CLOSE_RESET, "The process has limits.max_connections already.")   \
    X(FIRST_BYTE_TIMEOUT, "first_byte_timeout", TRANSPORT_CLOSE_RESET,                                                \
      "The upstream sent nothing for timeouts.first_byte.")                                                           \
    X(MAX_DURATION, "max_duration", TRANSPORT_CLOSE_RESET, "It lasted for timeouts.max_duration.")                    \
    X(IDLE_TIMEOUT, "idle_timeout", TRANSPORT_CLOSE_RESET, "No byte passed for timeouts.idle.")                       \
    X(HALF_CLOSE_TIMEOUT, "half_close_timeout", TRANSPORT_CLOSE_RESET,                                                \
      "One side had finished sending, and no byte passed for timeouts.half_close.")                                   \
    X(UNHEALTHY, "unhealthy", TRANSPORT_CLOSE_RESET,                                                                  \
      "A health check found its endpoint unhealthy, and close_on_unhealthy is set.")                                  \
    X(ENDPOINT_REMOVED, "endpoint_removed", TRANSPORT_CLOSE_RESET,                                                    \
      "Its endpoint or cluster is gone, and close_on_removal is set, or 32 reloads have passed.")                     \
    X(FAULT_REFUSE, "fault_refuse", TRANSPORT_CLOSE_RESET, "An injected fault, faults.refuse.")                       \
    X(FAULT_RESET, "fault_reset", TRANSPORT_CLOSE_RESET, "An injected fault, faults.reset.")                          \
    X(CLIENT_DEAD, "client_dead", TRANSPORT_CLOSE_RESET, "The client acknowledged nothing for timeouts.dead_peer.")   \
    X(UPSTREAM_DEAD, "upstream_dead", TRANSPORT_CLOSE_RESET,                                                          \
      "The upstream acknowledged nothing for timeouts.dead_peer.")                                                    \
    X(NOT_INTERCEPTED, "not_intercepted", TRANSPORT_CLOSE_RESET,                                                      \
      "It came to a capture port directly; there is no original destination.")                                        \
    X(DENIED, "denied", TRANSPORT_CLOSE_RESET, "The rules of authorization do not allow it.")                         \
    X(PROXY_PROTOCOL, "proxy_protocol", TRANSPORT_CLOSE_RESET,                                                        \
      "No valid PROXY header came first, within three seconds.")                                                      \
    X(LOOP, "loop", TRANSPORT_CLOSE_RESET, "Its destination is one of the proxy's own capture ports.")                \
    X(PROBE, "probe", TRANSPORT_CLOSE, "outrigger-init asked whether interception works, and was answered.")          \
    X(NO_DESCRIPTORS, "no_descriptors", TRANSPORT_CLOSE_RESET, "The process has no file descriptor left.")            \
    X(NO_MEMORY, "no_memory", TRANSPORT_CLOSE_RESET, "The process has no memory left.")                               \
    X(DRAIN_SPREAD, "drain_spread", TRANSPORT_CLOSE_RESET, "Its turn had come while draining over drain.spread.")     \
    X(DRAIN_TIMEOUT, "drain_timeout", TRANSPORT_CLOSE_RESET, "It was left at drain.timeout, or at a second SIGTERM.")

enum end_reason {
#define X(constant, name, closing, meaning) END_##constant,
    END_REASONS(X)
#undef X
        END_REASON_COUNT
};

const char *end_reason_name(enum end_reason reason);
const char *end_reason_meaning(enum end_reason reason);
enum transport_closing end_reason_closing(enum end_reason reason);

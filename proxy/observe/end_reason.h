/*
 * Why a connection ended: one reason each, from this table; it feeds log, metric labels, status and
 * docs/end-reasons.md. The names are stable within configuration version 1.
 */
#pragma once

#include <stdbool.h>

#include "proxy/net/transport.h"

/* Whose doing it was. EITHER: of the side that has finished first. */
enum end_party { END_BY_CLIENT, END_BY_UPSTREAM, END_BY_PROXY, END_BY_EITHER };

/* X(constant, name, how both sides are closed, whose doing it was, meaning) */
#define END_REASONS(X)                                                                                              \
    X(COMPLETED, "completed", TRANSPORT_CLOSE, EITHER,                                                              \
      "Both sides have finished sending and everything was delivered.")                                             \
    X(CLIENT_RESET, "client_reset", TRANSPORT_CLOSE_RESET, CLIENT, "The client cut the connection (RST).")          \
    X(UPSTREAM_RESET, "upstream_reset", TRANSPORT_CLOSE_RESET, UPSTREAM, "The upstream cut the connection (RST).")  \
    X(CLIENT_GONE, "client_gone", TRANSPORT_CLOSE_RESET, CLIENT,                                                    \
      "The client cut the connection before the upstream was reached.")                                             \
    X(CONNECT_REFUSED, "connect_refused", TRANSPORT_CLOSE_RESET, UPSTREAM, "The last attempt was refused.")         \
    X(CONNECT_TIMEOUT, "connect_timeout", TRANSPORT_CLOSE_RESET, PROXY,                                             \
      "The last attempt took longer than timeouts.connect.")                                                        \
    X(CONNECT_UNREACHABLE, "connect_unreachable", TRANSPORT_CLOSE_RESET, UPSTREAM,                                  \
      "The last attempt found no way to the upstream.")                                                             \
    X(CONNECT_FAILED, "connect_failed", TRANSPORT_CLOSE_RESET, UPSTREAM,                                            \
      "The last attempt failed in another way; the log says how.")                                                  \
    X(CONNECT_TLS, "connect_tls", TRANSPORT_CLOSE_RESET, UPSTREAM,                                                  \
      "The TLS handshake of the last attempt failed; the log says how.")                                            \
    X(CONNECT_DENIED, "connect_denied", TRANSPORT_CLOSE_RESET, UPSTREAM,                                            \
      "The endpoint's sidecar does not let this one reach its app.")                                                \
    X(CLIENT_TLS, "client_tls", TRANSPORT_CLOSE_RESET, CLIENT,                                                      \
      "The TLS handshake with the client failed; the log says how.")                                                \
    X(CLIENT_TLS_TIMEOUT, "client_tls_timeout", TRANSPORT_CLOSE_RESET, PROXY,                                       \
      "The TLS handshake with the client took longer than intercept.inbound.tls.handshake_timeout.")                \
    X(TLS_REQUIRED, "tls_required", TRANSPORT_CLOSE_RESET, PROXY,                                                   \
      "The client spoke something else than TLS to a port with tls.mode strict.")                                   \
    X(REVOKED, "revoked", TRANSPORT_CLOSE_RESET, PROXY, "The certificate of one of its peers was revoked.")         \
    X(UNMATCHED, "unmatched", TRANSPORT_CLOSE_RESET, PROXY,                                                         \
      "No cluster matches, and intercept.outbound.unmatched is refuse.")                                            \
    X(NO_ENDPOINT, "no_endpoint", TRANSPORT_CLOSE_RESET, PROXY,                                                     \
      "The cluster has no endpoint, or none that is healthy where panic_threshold is 0%.")                          \
    X(CIRCUIT_BREAKER, "circuit_breaker", TRANSPORT_CLOSE_RESET, PROXY,                                             \
      "The cluster has circuit_breaker.max_connections already, and max_pending wait.")                             \
    X(PENDING_TIMEOUT, "pending_timeout", TRANSPORT_CLOSE_RESET, PROXY,                                             \
      "It waited for circuit_breaker.pending_timeout, and none of the cluster's connections ended.")                \
    X(MAX_CONNECTIONS, "max_connections", TRANSPORT_CLOSE_RESET, PROXY,                                             \
      "The process, or the inbound port, has its limits.max_connections already.")                                  \
    X(MAX_CONNECTIONS_PER_SOURCE, "max_connections_per_source", TRANSPORT_CLOSE_RESET, PROXY,                       \
      "Its source has limits.max_connections_per_source already, of the process or of the inbound port.")           \
    X(FIRST_BYTE_TIMEOUT, "first_byte_timeout", TRANSPORT_CLOSE_RESET, PROXY,                                       \
      "The upstream sent nothing for timeouts.first_byte.")                                                         \
    X(MAX_DURATION, "max_duration", TRANSPORT_CLOSE_RESET, PROXY, "It lasted for timeouts.max_duration.")           \
    X(IDLE_TIMEOUT, "idle_timeout", TRANSPORT_CLOSE_RESET, PROXY, "No byte passed for timeouts.idle.")              \
    X(HALF_CLOSE_TIMEOUT, "half_close_timeout", TRANSPORT_CLOSE_RESET, PROXY,                                       \
      "One side had finished sending, and no byte passed for timeouts.half_close.")                                 \
    X(UNHEALTHY, "unhealthy", TRANSPORT_CLOSE_RESET, PROXY,                                                         \
      "A health check found its endpoint unhealthy, and close_on_unhealthy is set.")                                \
    X(ENDPOINT_REMOVED, "endpoint_removed", TRANSPORT_CLOSE_RESET, PROXY,                                           \
      "Its endpoint or cluster is gone, and close_on_removal is set, or 32 reloads have passed.")                   \
    X(FAULT_REFUSE, "fault_refuse", TRANSPORT_CLOSE_RESET, PROXY, "An injected fault, faults.refuse.")              \
    X(FAULT_RESET, "fault_reset", TRANSPORT_CLOSE_RESET, PROXY, "An injected fault, faults.reset.")                 \
    X(CLIENT_DEAD, "client_dead", TRANSPORT_CLOSE_RESET, CLIENT,                                                    \
      "The client acknowledged nothing for timeouts.dead_peer.")                                                    \
    X(UPSTREAM_DEAD, "upstream_dead", TRANSPORT_CLOSE_RESET, UPSTREAM,                                              \
      "The upstream acknowledged nothing for timeouts.dead_peer.")                                                  \
    X(NOT_INTERCEPTED, "not_intercepted", TRANSPORT_CLOSE_RESET, PROXY,                                             \
      "It came to a capture port directly; there is no original destination.")                                      \
    X(DENIED, "denied", TRANSPORT_CLOSE_RESET, PROXY, "The rules of authorization do not allow it.")                \
    X(PROXY_PROTOCOL, "proxy_protocol", TRANSPORT_CLOSE_RESET, PROXY,                                               \
      "No valid PROXY header came first, within three seconds.")                                                    \
    X(LOOP, "loop", TRANSPORT_CLOSE_RESET, PROXY, "Its destination is one of the proxy's own capture ports.")       \
    X(PROBE, "probe", TRANSPORT_CLOSE, PROXY, "outrigger-init asked whether interception works, and was answered.") \
    X(NO_DESCRIPTORS, "no_descriptors", TRANSPORT_CLOSE_RESET, PROXY, "The process has no file descriptor left.")   \
    X(NO_MEMORY, "no_memory", TRANSPORT_CLOSE_RESET, PROXY, "The process has no memory left.")                      \
    X(DRAIN_SPREAD, "drain_spread", TRANSPORT_CLOSE_RESET, PROXY,                                                   \
      "Its turn had come while draining over drain.spread.")                                                        \
    X(DRAIN_TIMEOUT, "drain_timeout", TRANSPORT_CLOSE_RESET, PROXY,                                                 \
      "It was left at drain.timeout, or at a second SIGTERM.")

enum end_reason {
#define X(constant, name, closing, party, meaning) END_##constant,
    END_REASONS(X)
#undef X
        END_REASON_COUNT
};

const char *end_reason_name(enum end_reason reason);
const char *end_reason_meaning(enum end_reason reason);
enum transport_closing end_reason_closing(enum end_reason reason);
enum end_party end_reason_party(enum end_reason reason);

/* Whether something went wrong, or was refused: all but the ends that are meant. */
bool end_reason_is_abnormal(enum end_reason reason);

/* "client", "upstream" or "proxy"; "" for END_BY_EITHER. */
const char *end_party_name(enum end_party party);

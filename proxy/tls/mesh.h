/*
 * The mesh protocol `outrigger/1`: what two sidecars say to each other inside TLS, beside the bytes of client and app;
 * docs/mesh-protocol.md. The side that has accepted sends one byte, the status, before anything else: whether the app
 * was reached. The side that has dialled waits for it, and sends nothing before it.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define MESH_ALPN "outrigger/1" /* its name in ALPN (RFC 7301) */

struct name_list;
struct transport;

/* X(constant, byte, name, meaning). The bytes are the protocol. */
#define MESH_STATUSES(X)                                                                     \
    X(CONNECTED, 0, "connected", "The app is connected; its bytes follow.")                  \
    X(REFUSED, 1, "refused", "The app has refused the connection.")                          \
    X(TIMEOUT, 2, "timeout", "The app was not connected in time.")                           \
    X(UNREACHABLE, 3, "unreachable", "There is no way to the app.")                          \
    X(DENIED, 4, "denied", "The rules of authorization do not let this peer reach the app.") \
    X(OVERLOADED, 5, "overloaded", "A limit of the sidecar is reached.")                     \
    X(RESET, 6, "reset", "The app has cut the connection at once.")                          \
    X(FAILED, 255, "failed", "Another reason; so is every byte that is not known.")

enum mesh_status {
#define X(constant, byte, name, meaning) MESH_STATUS_##constant = (byte),
    MESH_STATUSES(X)
#undef X
};

/* Pure. */
enum mesh_status mesh_status_parse(uint8_t byte);

/*
 * What becomes of an attempt that has met with it, as of connect(2): 0, -ECONNREFUSED, -ETIMEDOUT, -EHOSTUNREACH,
 * -ECONNRESET, -EKEYREJECTED (denied), -EREMOTEIO.
 */
int mesh_status_error(enum mesh_status status);

/*
 * The side that dials: goes on with the handshake, then waits for the status. `expected` is as carrier_handshake() has
 * it. 0 when the app is connected; -EAGAIN;
 * -EPROTO: see carrier_problem(); or what mesh_status_error() says. Asks for the events that it needs.
 */
int mesh_dial(struct transport *transport, const struct name_list *expected);

/*
 * The side that has accepted: says how it went, if it has not said so before. Nothing for plain connections, and before
 * the handshake is done. A new connection takes so little at once, or is cut. Returns whether it was said now.
 */
bool mesh_tell(struct transport *transport, enum mesh_status status);

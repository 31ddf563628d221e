/*
 * A carrier: one authenticated connection to a peer, TLS over a descriptor. What goes through it is a stream, which is
 * a transport (net/transport.h); today each carrier has one, transport_tls.c. Later one carrier may have many.
 *
 * OpenSSL never touches the descriptor: what one recv() has brought is fed to it, and what it has made in a turn is
 * sent by one send(). So a TLS connection makes as many system calls as a plain one.
 *
 * Owner: the connection that it is part of. Thread: its worker's.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "proxy/tls/spiffe_id.h"
#include "proxy/tls/tls_problem.h"
#include "proxy/tls/verified.h"

struct carrier;
struct credentials;
struct name_list;

#define CARRIER_IN_SIZE  (256 * 1024)
#define CARRIER_OUT_SIZE (64 * 1024) /* what a write may encrypt before it is sent */

/* A worker's means, shared by all its carriers. All zero: without its buffers yet. */
struct carrier_means {
    unsigned char *in, *out;
    size_t out_length;
    struct verified verified;
};

/* Takes the memory; untouched it costs nothing. Returns 0 or -ENOMEM. */
int carrier_means_init(struct carrier_means *means);
void carrier_means_done(struct carrier_means *means);

enum carrier_role {
    CARRIER_DIALS,
    CARRIER_ACCEPTS,
};

/* `credentials` are referenced. Returns NULL without memory. */
struct carrier *carrier_new(struct carrier_means *means, struct credentials *credentials, enum carrier_role role,
                            uint64_t now_ms);

/* When it was made, which is when its handshake began. */
uint64_t carrier_began_ms(const struct carrier *carrier);

/* Takes NULL. The descriptor is the caller's. */
void carrier_free(struct carrier *carrier);

/*
 * Goes on with the handshake.
 *
 * expected  patterns of the peer's identity, borrowed for this call (a reload may change them before the next); an
 * empty list: anybody of the own trust domain; NULL: anybody of a domain that there is a trust bundle for
 *
 * 0 when it is done: the peer has proven who it is; -EAGAIN: when there is more to read, or
 * room for carrier_owes(); -EPROTO: carrier_problem() tells; -ENOMEM. An alert has been sent where one is due.
 */
int carrier_handshake(struct carrier *carrier, int fd, const struct name_list *expected);

/* Static texts. Before anything was wrong: TLS_PROBLEM_NONE and "". */
enum tls_problem carrier_problem(const struct carrier *carrier, const char **ret_detail);

/* The handshake is done, and yet nothing comes of it. The first problem stays; `detail` is static. */
void carrier_fail(struct carrier *carrier, enum tls_problem problem, const char *detail);

/* As proven; NULL before. */
const struct spiffe_id *carrier_peer(const struct carrier *carrier);

/* Whether this side has accepted, the handshake is done, and the status (mesh.h) was not asked for yet. Once. */
bool carrier_owes_status(struct carrier *carrier);

/* Whether the handshake came so far that the peer was seen to speak the mesh protocol. */
bool carrier_met_mesh(const struct carrier *carrier);

/*
 * As transport's operations. A read of fewer bytes than asked for ends the turn; carrier_has_more(): something is left
 * in here. The orderly end is close_notify; without one the stream was cut: -ECONNRESET (RFC 8446, 6.1: it "allows an
 * attacker to truncate").
 */
ssize_t carrier_read(struct carrier *carrier, int fd, void *bytes, size_t size);
bool carrier_has_more(const struct carrier *carrier);

/*
 * What it returns as taken was encrypted; some may be owed to the kernel still. While something is owed it takes
 * nothing: -EAGAIN.
 */
ssize_t carrier_write(struct carrier *carrier, int fd, const struct iovec *vectors, int count, bool more);
size_t carrier_owes(const struct carrier *carrier);

/* Sends what is owed. 0 when nothing is left, -EAGAIN, or another negative errno. */
int carrier_flush(struct carrier *carrier, int fd);

/* Sends close_notify, once. As carrier_flush(). */
int carrier_finish(struct carrier *carrier, int fd);

/*
 * Whether its peer has been revoked, as the lists of other credentials than its own say (its own have been asked in the
 * handshake). `credentials` may be NULL. Both roles.
 */
bool carrier_is_revoked(const struct carrier *carrier, const struct credentials *credentials);

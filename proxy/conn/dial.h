/* Where an attempt goes, and from which address. */
#pragma once

#include <stdbool.h>
#include <sys/socket.h>

#include "base/sockaddr.h"
#include "proxy/net/transport.h"

struct attempt_target;
struct conn;

/* The attempt's endpoint, or the original destination. */
const struct sockaddr *dial_destination(const struct conn *conn, const struct attempt_target *target);

/* Whether the attempt goes on with TLS once it is connected. */
bool dial_is_secure(const struct conn *conn);

/*
 * Goes on with an attempt whose socket has an event. 0 when the upstream is there, through TLS where the cluster wants
 * that; -EAGAIN; or a negative errno as of connect(2) and mesh_dial(), and -ENOKEY without credentials.
 */
int dial_go_on(struct conn *conn, struct transport *transport);

/* What an attempt under way waits for. */
enum transport_interest dial_interest(const struct transport *transport);

/* An attempt has failed with `error`: counts what became of its TLS; the text says what went wrong. */
const char *dial_count_failure(struct conn *conn, const struct transport *transport, int error);

/* Begins to connect there. As dialer_connect(). */
int dial_begin(struct conn *conn, const struct attempt_target *target, int *ret_fd, bool *ret_in_progress);

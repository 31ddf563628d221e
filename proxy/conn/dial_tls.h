/*
 * TLS as a part of an attempt: once the socket is connected the handshake follows, then the status of the mesh
 * protocol, all within timeouts.connect. With tls.mode auto it follows where the endpoint is not known to speak
 * plaintext.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "proxy/net/transport.h"

struct attempt_target;
struct conn;

/*
 * With tls.mode auto: an endpoint that does not know the mesh protocol is not asked again for so long; the short time
 * when it has only broken off, as a sidecar that begins does, too.
 */
#define DIAL_PLAINTEXT_MS       300000
#define DIAL_PLAINTEXT_SHORT_MS 10000

/*
 * Goes on with an attempt whose socket is connected. As dial_go_on().
 */
int dial_go_on_connected(struct conn *conn, const struct attempt_target *target, struct transport *transport,
                         uint64_t now_ms);

/*
 * Goes on with an attempt whose socket has an event. 0 when the upstream is there, through TLS where that is due;
 * -EAGAIN; or a negative errno as of connect(2) and mesh_dial(); -ENOKEY without credentials; -EPROTONOSUPPORT when the
 * endpoint has been found to speak plaintext only: it is to be dialled again, and no TLS will follow.
 */
int dial_go_on(struct conn *conn, const struct attempt_target *target, struct transport *transport, uint64_t now_ms);

/* timeouts.connect is over. Whether that means what -EPROTONOSUPPORT does. */
bool dial_is_plaintext_after_all(const struct conn *conn, const struct attempt_target *target,
                                 const struct transport *transport, uint64_t now_ms);

/* An upstream was cut before it had answered: if it was spoken to in plaintext by tls.mode auto, that may be why. */
void dial_doubt_plaintext(const struct conn *conn);

/* What an attempt under way waits for. */
enum transport_interest dial_interest(const struct transport *transport);

/* An attempt has failed with `error`: counts what became of its TLS; the text says what went wrong. */
const char *dial_count_failure(struct conn *conn, const struct transport *transport, int error);

/* What outrigger-init and the proxy must agree on. */
#pragma once

#include <stdbool.h>
#include <sys/socket.h>

/* Connections from the proxy to its app have these sources; the rules know them and never capture them. */
#define INTERCEPTION_APP_SOURCE_IPV4 "127.0.0.6"
#define INTERCEPTION_APP_SOURCE_IPV6 "::6"

/*
 * A proxy that runs answers the probes of `outrigger-init verify` with INTERCEPTION_PROBE_ANSWER: the original
 * destination, its inbound mode, and the mark that it gives to packets to its app (0 in mode redirect), in a line.
 * Outbound, these are probes, and no real traffic is like them:
 *
 *   any port of a documentation address (RFC 5737, RFC 3849), or
 *   from INTERCEPTION_PROBE_PORT to INTERCEPTION_PROBE_PORT of any address.
 *
 * Inbound: INTERCEPTION_PROBE_PORT of an app source above.
 */
#define INTERCEPTION_PROBE_IPV4   "192.0.2.2"
#define INTERCEPTION_PROBE_IPV6   "2001:db8::2"
#define INTERCEPTION_PROBE_PORT   15002
#define INTERCEPTION_PROBE_WORD   "outrigger"
#define INTERCEPTION_PROBE_ANSWER INTERCEPTION_PROBE_WORD " %s %s mark %u\n"

#define INTERCEPTION_MODE_REDIRECT "redirect"
#define INTERCEPTION_MODE_TPROXY   "tproxy"

/* The longest answer, with its newline. */
#define INTERCEPTION_PROBE_ANSWER_SIZE 192

/* Whether it is INTERCEPTION_PROBE_IPV4 or _IPV6, whatever the port. Pure. */
bool interception_is_probe_address(const struct sockaddr *address);

/* Whether it is an app source, whatever the port. Pure. */
bool interception_is_app_source(const struct sockaddr *address);

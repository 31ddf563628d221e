/* What outrigger-init and the proxy must agree on. */
#pragma once

/* Connections from the proxy to its app have these sources; the rules know them and never capture them. */
#define INTERCEPTION_APP_SOURCE_IPV4 "127.0.0.6"
#define INTERCEPTION_APP_SOURCE_IPV6 "::6"

/*
 * What a verifying probe dials: documentation addresses (RFC 5737, RFC 3849) that no real traffic has. The proxy
 * answers one with INTERCEPTION_PROBE_ANSWER, the original destination and a newline.
 */
#define INTERCEPTION_PROBE_IPV4   "192.0.2.2"
#define INTERCEPTION_PROBE_IPV6   "2001:db8::2"
#define INTERCEPTION_PROBE_PORT   15002
#define INTERCEPTION_PROBE_ANSWER "outrigger "

/* Proof by real connections that what the app dials, and what comes in, arrives at the proxy's capture ports. */
#pragma once

#include <stdint.h>

#include "iptables/ruleset.h"

/* Exit code of `verify`, and of `apply` when the proof fails (as linkerd's validator has it). */
#define VERIFY_EXIT_FAILED 95

/*
 * For each family: dials an address that these rules capture as another user than the proxy's, and one of this machine
 * as the proxy's user. The connection must arrive at the capture port with its original destination: at our own
 * listener there, or where a running proxy holds the port, at the proxy, which answers. Prints a line each; what cannot
 * be tried (no route, nothing captured, not allowed to become the user) is said and is no failure. In mode tproxy also
 * that marked packets are delivered here, and that the running proxy has the same mode and mark.
 *
 * timeout_ms   for each connection
 * ret_proven   how many were proven
 * Returns 0, or -EPROTO when a connection did not arrive or mode tproxy would not work; then what went wrong and what
 * to do is printed.
 */
int verify_run(const struct ruleset *ruleset, uint64_t timeout_ms, unsigned *ret_proven);

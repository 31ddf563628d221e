/* Proof by a real connection that what the app dials arrives at the proxy's capture port. */
#pragma once

#include "iptables/options.h"
#include "iptables/ruleset.h"

/* Exit code of `verify`, and of `apply` when the proof fails (as linkerd's validator has it). */
#define VERIFY_EXIT_FAILED 95

/*
 * Dials a documentation address of each family as another uid than the proxy's. The connection must arrive at the
 * capture port with its original destination: at ours, or where a running proxy holds the port, at its own, which
 * answers. Prints one line a family; one that cannot be tried (no route, not captured by these options) is no failure.
 *
 * ret_proven   how many families were proven
 * Returns 0, or -EPROTO when a connection did not arrive.
 */
int verify_run(const struct options *options, const struct ruleset *ruleset, unsigned *ret_proven);

/* Which rule decides about a connection, without sending a packet. */
#pragma once

#include "iptables/options.h"
#include "iptables/ruleset.h"

/*
 * Prints the answer about options->to and the rest of trace's options, by the rules of `ruleset`.
 * Returns 0, or -EINVAL when an address is none; then the problem is printed.
 */
int trace_run(const struct options *options, const struct ruleset *ruleset);

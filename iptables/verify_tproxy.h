/* What mode tproxy needs beside its rules. */
#pragma once

#include "iptables/ruleset.h"

/*
 * Whether packets with the rules' mark are delivered on this machine, by the policy routing and the kernel's settings,
 * and whether the running proxy has the rules' mode and mark.
 *
 * answer   the proxy's to a probe (base/interception.h); NULL or "" when none runs
 *
 * Prints what it finds. Returns 0, also where the rules are of mode redirect, or -EPROTO when what the app answers
 * would not come back to the proxy.
 */
int verify_tproxy(const struct ruleset *ruleset, const char *answer);

/* The rules that the kernel has, as a ruleset again. */
#pragma once

#include <stdbool.h>

#include "iptables/ruleset.h"

/*
 * Reads this network namespace's table into the empty `ruleset`.
 *
 * ret_strange  how many of its rules and chains are not ones that encode.c makes; such rules are left out
 * Returns 0, -ENOENT when there is no table, or another negative errno.
 */
int decode_read(struct ruleset *ruleset, unsigned *ret_strange);

struct nlmsghdr;

/*
 * One rule out of the kernel's answer: appended to `ruleset`, counted in *strange, or passed over when it belongs to
 * another table. Returns 0 or a negative errno.
 */
int decode_message(const struct nlmsghdr *message, struct ruleset *ruleset, unsigned *strange);

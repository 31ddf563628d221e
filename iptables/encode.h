/* Rules as the kernel's expressions, and the one transaction that puts them in place. */
#pragma once

#include <stddef.h>

#include "iptables/ruleset.h"

#define ENCODE_PROBLEM_SIZE 256

/*
 * Replaces the table by `ruleset` in one transaction: the kernel has either the old rules or the new, never none.
 * Returns 0, or a negative errno; then `problem` (ENCODE_PROBLEM_SIZE bytes) says which step the kernel refused.
 */
int encode_apply(const struct ruleset *ruleset, char *problem);

/* Removes the table; returns 0 also when there is none. */
int encode_remove(char *problem);

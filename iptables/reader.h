/* The kernel's expressions as a rule again. Pure, but for the number of lo. */
#pragma once

#include <stdbool.h>

#include "iptables/ruleset.h"

struct nftnl_rule;

/*
 * Fills `ret_rule`, its chain but for, when `encoded` is a rule as expressions_fill() makes it, to the last bit (what
 * was counted aside), with a reason. Returns whether it is one; another hand's rules are not.
 */
bool reader_read(const struct nftnl_rule *encoded, struct rule *ret_rule);

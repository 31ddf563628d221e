/* One rule as the kernel's expressions, in the words and order of nft(8), so that `nft list` shows it as it was meant.
 */
#pragma once

#include "iptables/ruleset.h"

struct nftnl_rule;

/* Fills the empty `encoded`. Returns 0, -ENOMEM or -EINVAL. */
int expressions_fill(struct nftnl_rule *encoded, const struct rule *rule);

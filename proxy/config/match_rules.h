/* The order in which matches are tried: longest prefix first, then the narrowest port range. */
#pragma once

#include <stdbool.h>

#include "proxy/config/model.h"

#define MATCH_RULES_MOST 65536 /* addresses times ports, over all clusters */

/*
 * Fills config->match_rules from the clusters. Memory comes from config->arena.
 * Returns 0, -ENOMEM, or -E2BIG when there are more than MATCH_RULES_MOST; then there are none.
 */
int match_rules_build(struct config *config);

/* Two rules of the same rank that share a destination: which would win is undefined. Neighbours in the order suffice.
 */
bool match_rules_tie(const struct match_rule *a, const struct match_rule *b);

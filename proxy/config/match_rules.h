/*
 * The order in which matches are tried: longest prefix first, then the narrowest port range, then an exact server name,
 * then the longest wildcard, then none.
 */
#pragma once

#include <stdbool.h>

#include "proxy/config/model.h"

#define MATCH_RULES_MOST 65536 /* addresses times ports times server names, over all clusters */

/*
 * Fills config->match_rules from the clusters, but for what hosts stand for. Memory comes from config->arena.
 * Returns 0, -ENOMEM, or -E2BIG when there are more than MATCH_RULES_MOST; then there are none.
 */
int match_rules_build(struct config *config);

/* How many rules one block of this match makes. */
size_t match_rules_per_block(const struct match_config *match);

/* Writes the rules of one block; `like` has the block, the cluster, the order and is_resolved. Returns their end. */
struct match_rule *match_rules_write(const struct match_config *match, const struct match_rule *like,
                                     struct match_rule *at);

/* Less than, equal to or greater than 0, as qsort() has it. Rules of the same rank are in the file's order. */
int match_rules_compare(const void *left, const void *right);

/* Two rules of the same rank that share a destination. In the order above, neighbours suffice. */
bool match_rules_tie(const struct match_rule *a, const struct match_rule *b);

#include "proxy/config/match_rules.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/macros.h"

static const struct port_range every_port = { 1, 65535 };

static int compare_rules(const void *left, const void *right)
{
    const struct match_rule *a = left, *b = right;
    int a_width = a->ports.last - a->ports.first, b_width = b->ports.last - b->ports.first, r;

    if (a->block.family != b->block.family)
        return a->block.family < b->block.family ? -1 : 1;
    if (a->block.prefix != b->block.prefix)
        return a->block.prefix > b->block.prefix ? -1 : 1;
    r = memcmp(a->block.bytes, b->block.bytes, sizeof a->block.bytes);
    if (r != 0)
        return r;
    if (a_width != b_width)
        return a_width < b_width ? -1 : 1;
    if (a->ports.first != b->ports.first)
        return a->ports.first < b->ports.first ? -1 : 1;
    return a->cluster < b->cluster ? -1 : a->cluster > b->cluster;
}

bool match_rules_tie(const struct match_rule *a, const struct match_rule *b)
{
    return cidr_equal(&a->block, &b->block) && a->ports.last - a->ports.first == b->ports.last - b->ports.first &&
           MAX(a->ports.first, b->ports.first) <= MIN(a->ports.last, b->ports.last);
}

int match_rules_build(struct config *config)
{
    struct match_rule *rules;
    size_t count = 0, at = 0;

    for (size_t i = 0; i < config->clusters.count; i++) {
        const struct cluster_config *cluster = &config->clusters.items[i];

        for (size_t j = 0; j < cluster->match.count; j++)
            count += cluster->match.items[j].addresses.count * MAX(cluster->match.items[j].ports.count, (size_t)1);
    }
    if (count > MATCH_RULES_MOST)
        return -E2BIG;
    rules = arena_alloc(&config->arena, count * sizeof *rules);
    if (!rules)
        return -ENOMEM;
    for (size_t i = 0; i < config->clusters.count; i++) {
        const struct cluster_config *cluster = &config->clusters.items[i];

        for (size_t j = 0; j < cluster->match.count; j++) {
            const struct match_config *match = &cluster->match.items[j];

            for (size_t k = 0; k < match->addresses.count; k++) {
                for (size_t l = 0; l < MAX(match->ports.count, (size_t)1); l++)
                    rules[at++] = (struct match_rule){ .block = match->addresses.items[k],
                                                       .ports = match->ports.count > 0 ? match->ports.items[l]
                                                                                       : every_port,
                                                       .cluster = (uint32_t)i };
            }
        }
    }
    qsort(rules, count, sizeof *rules, compare_rules);
    config->match_rules.items = rules;
    config->match_rules.count = count;
    return 0;
}

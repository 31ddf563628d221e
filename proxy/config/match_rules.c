#include "proxy/config/match_rules.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/macros.h"

static const struct port_range every_port = { 1, 65535 };
static const struct cidr every_address[] = { { .family = AF_INET }, { .family = AF_INET6 } };

static int compare_numbers(long a, long b)
{
    return (a > b) - (a < b);
}

static int compare_names(const struct match_rule *a, const struct match_rule *b)
{
    int r = compare_numbers(a->sni_kind, b->sni_kind);

    if (r == 0 && a->sni_kind == MATCH_SNI_WILDCARD)
        r = compare_numbers((long)strlen(b->sni), (long)strlen(a->sni));
    return r != 0 ? r : strcmp(a->sni, b->sni);
}

int match_rules_compare(const void *left, const void *right)
{
    const struct match_rule *a = left, *b = right;
    int r = compare_numbers(a->block.family, b->block.family);

    if (r == 0)
        r = compare_numbers(b->block.prefix, a->block.prefix);
    if (r == 0)
        r = memcmp(a->block.bytes, b->block.bytes, sizeof a->block.bytes);
    if (r == 0)
        r = compare_numbers(a->ports.last - a->ports.first, b->ports.last - b->ports.first);
    if (r == 0)
        r = compare_names(a, b);
    if (r == 0)
        r = compare_numbers(a->ports.first, b->ports.first);
    if (r == 0)
        r = compare_numbers(a->is_remembered, b->is_remembered);
    return r != 0 ? r : compare_numbers(a->order, b->order);
}

bool match_rules_tie(const struct match_rule *a, const struct match_rule *b)
{
    return cidr_equal(&a->block, &b->block) && a->ports.last - a->ports.first == b->ports.last - b->ports.first &&
           compare_names(a, b) == 0 && MAX(a->ports.first, b->ports.first) <= MIN(a->ports.last, b->ports.last);
}

size_t match_rules_per_block(const struct match_config *match)
{
    return MAX(match->ports.count, (size_t)1) * MAX(match->sni.count, (size_t)1);
}

static void set_name(struct match_rule *rule, const char *sni)
{
    bool is_wildcard = strncmp(sni, "*.", 2) == 0;

    rule->sni_kind = is_wildcard ? MATCH_SNI_WILDCARD : MATCH_SNI_EXACT;
    rule->sni = is_wildcard ? sni + 2 : sni;
}

struct match_rule *match_rules_write(const struct match_config *match, const struct match_rule *like,
                                     struct match_rule *at)
{
    for (size_t i = 0; i < MAX(match->ports.count, (size_t)1); i++) {
        for (size_t j = 0; j < MAX(match->sni.count, (size_t)1); j++) {
            *at = *like;
            at->ports = match->ports.count > 0 ? match->ports.items[i] : every_port;
            at->sni_kind = MATCH_SNI_ANY;
            at->sni = "";
            if (match->sni.count > 0)
                set_name(at, match->sni.items[j]);
            at++;
        }
    }
    return at;
}

static struct cidr_list blocks_of(const struct match_config *match)
{
    if (match->addresses.count == 0 && match->hosts.count == 0 && match->sni.count > 0)
        return (struct cidr_list){ (struct cidr *)(uintptr_t)every_address, ARRAY_SIZE(every_address) };
    return match->addresses;
}

static struct match_rule *write_match(const struct match_config *match, uint32_t cluster, uint32_t order,
                                      struct match_rule *at)
{
    struct cidr_list blocks = blocks_of(match);

    for (size_t i = 0; i < blocks.count; i++) {
        struct match_rule like = { .block = blocks.items[i], .cluster = cluster, .order = order };

        at = match_rules_write(match, &like, at);
    }
    return at;
}

int match_rules_build(struct config *config)
{
    struct match_rule *rules, *at;
    uint32_t order = 0;
    size_t count = 0;

    for (size_t i = 0; i < config->clusters.count; i++) {
        const struct cluster_config *cluster = &config->clusters.items[i];

        for (size_t j = 0; j < cluster->match.count; j++)
            count += blocks_of(&cluster->match.items[j]).count * match_rules_per_block(&cluster->match.items[j]);
        if (count > MATCH_RULES_MOST)
            return -E2BIG;
    }
    rules = arena_alloc(&config->arena, count * sizeof *rules);
    if (!rules)
        return -ENOMEM;
    at = rules;
    for (size_t i = 0; i < config->clusters.count; i++) {
        const struct cluster_config *cluster = &config->clusters.items[i];

        for (size_t j = 0; j < cluster->match.count; j++)
            at = write_match(&cluster->match.items[j], (uint32_t)i, order++, at);
    }
    qsort(rules, count, sizeof *rules, match_rules_compare);
    config->match_rules.items = rules;
    config->match_rules.count = count;
    return 0;
}

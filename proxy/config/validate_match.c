#include "proxy/config/validate_match.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/config/match_rules.h"
#include "proxy/config/validate_place.h"

/* As it was written: a value that was refused is told already. */
static bool has_any_key(const struct validate *validate, const char *path, const char *const *keys)
{
    const struct node *place = validate_find_place(validate->root, path);

    for (; *keys; keys++) {
        if (node_get(place, *keys))
            return true;
    }
    return false;
}

void validate_matches(const struct validate *validate, const struct cluster_config *cluster, const char *path)
{
    char inner[MOST_PATH];

    for (size_t i = 0; i < cluster->match.count; i++) {
        const struct match_config *match = &cluster->match.items[i];

        snprintf(inner, sizeof inner, "%.64s[%zu]", path, i);
        if (!has_any_key(validate, inner, (const char *const[]){ "addresses", "hosts", "sni", NULL }))
            validate_complain(validate, inner, "it matches nothing; it needs addresses, hosts or sni");
        if (match->sni.count > 0 && !has_any_key(validate, inner, (const char *const[]){ "ports", NULL }))
            validate_complain(validate, inner, "sni needs ports: a client's first bytes are looked at nowhere else");
    }
}

/* A rule, and the host that it is for: NULL where it has its block. */
struct named_rule {
    const char *host;
    struct match_rule rule;
};

/* `b` is matched as closely by the cluster of `a`. */
static void tell_tie(const struct validate *validate, const struct named_rule *a, const struct named_rule *b)
{
    const struct config *config = validate->config;
    uint32_t first = MIN(a->rule.cluster, b->rule.cluster), second = MAX(a->rule.cluster, b->rule.cluster);
    char path[MOST_PATH], block[CIDR_TEXT_SIZE], ports[PORT_RANGE_TEXT_SIZE], name[300] = "";
    const char *other = config->clusters.items[first].name;

    if (b->rule.sni_kind != MATCH_SNI_ANY)
        snprintf(name, sizeof name, " sni %s%s", b->rule.sni_kind == MATCH_SNI_WILDCARD ? "*." : "", b->rule.sni);
    snprintf(path, sizeof path, "clusters[%u].match", second);
    if (first == second)
        validate_complain(validate, path, "%s port %s%s stands here twice",
                          b->host ? b->host : cidr_format(&b->rule.block, block),
                          port_range_format(b->rule.ports, ports), name);
    else
        validate_complain(validate, path,
                          "%s port %s%s is matched as closely by cluster \"%s\"; one of them must be narrower",
                          b->host ? b->host : cidr_format(&b->rule.block, block),
                          port_range_format(b->rule.ports, ports), name, other ? other : "?");
}

static int compare_named(const void *left, const void *right)
{
    const struct named_rule *a = left, *b = right;
    int r = strcmp(a->host, b->host);

    return r != 0 ? r : match_rules_compare(&a->rule, &b->rule);
}

static size_t count_named(const struct config *config)
{
    size_t count = 0;

    for (size_t i = 0; i < config->clusters.count; i++) {
        for (size_t j = 0; j < config->clusters.items[i].match.count; j++)
            count += config->clusters.items[i].match.items[j].hosts.count *
                     match_rules_per_block(&config->clusters.items[i].match.items[j]);
    }
    return count;
}

/* The rules of every host's one address, whichever that will be. */
static size_t write_named(const struct config *config, struct named_rule *rules)
{
    struct match_rule *written;
    size_t count = 0;

    for (size_t i = 0; i < config->clusters.count; i++) {
        for (size_t j = 0; j < config->clusters.items[i].match.count; j++) {
            const struct match_config *match = &config->clusters.items[i].match.items[j];
            const struct match_rule like = { .block = { .family = AF_INET, .prefix = 32 }, .cluster = (uint32_t)i };
            size_t each = match_rules_per_block(match);

            written = match->hosts.count > 0 ? calloc(each, sizeof *written) : NULL;
            if (!written)
                continue;
            match_rules_write(match, &like, written);
            for (size_t k = 0; k < match->hosts.count * each; k++)
                rules[count++] = (struct named_rule){ match->hosts.items[k / each], written[k % each] };
            free(written);
        }
    }
    return count;
}

static int check_hosts(const struct validate *validate)
{
    size_t count = count_named(validate->config);
    struct named_rule *rules;

    if (count > MATCH_RULES_MOST) {
        validate_complain(validate, "clusters",
                          "more than %d matches (hosts times ports times server names, over all clusters)",
                          MATCH_RULES_MOST);
        return 0;
    }
    rules = calloc(count + 1, sizeof *rules);
    if (!rules)
        return -ENOMEM;
    count = write_named(validate->config, rules);
    qsort(rules, count, sizeof *rules, compare_named);
    for (size_t i = 1; i < count; i++) {
        if (strcmp(rules[i - 1].host, rules[i].host) == 0 && match_rules_tie(&rules[i - 1].rule, &rules[i].rule))
            tell_tie(validate, &rules[i - 1], &rules[i]);
    }
    free(rules);
    return 0;
}

int validate_match_ties(const struct validate *validate)
{
    const struct config *config = validate->config;

    for (size_t i = 1; i < config->match_rules.count; i++) {
        const struct named_rule a = { .rule = config->match_rules.items[i - 1] };
        const struct named_rule b = { .rule = config->match_rules.items[i] };

        if (match_rules_tie(&a.rule, &b.rule))
            tell_tie(validate, &a, &b);
    }
    return check_hosts(validate);
}

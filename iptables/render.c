#include "iptables/render.h"

#include <stdio.h>

static const char *const hooks[] = {
    [CHAIN_OUTBOUND] = "type nat hook output priority -100; policy accept;",
    [CHAIN_INBOUND] = "type nat hook prerouting priority dstnat; policy accept;",
};

static void render_match(const struct match *match, struct strbuf *text)
{
    const char *not = match->negated ? "!= " : "";
    char word[CIDR_TEXT_SIZE];

    switch (match->kind) {
    case MATCH_OUT_LOOPBACK:
        strbuf_printf(text, "oif %s\"lo\" ", not );
        break;
    case MATCH_UID:
        strbuf_printf(text, "meta skuid %s%u ", not, match->id);
        break;
    case MATCH_GID:
        strbuf_printf(text, "meta skgid %s%u ", not, match->id);
        break;
    case MATCH_SOURCE:
    case MATCH_DESTINATION:
        strbuf_printf(text, "%s %s %s%s ", match->block.family == AF_INET ? "ip" : "ip6",
                      match->kind == MATCH_SOURCE ? "saddr" : "daddr", not, cidr_format(&match->block, word));
        break;
    case MATCH_PORT:
        strbuf_printf(text, "tcp dport %s%s ", not, port_range_format(match->ports, word));
        break;
    }
}

static bool names_port(const struct rule *rule)
{
    for (size_t i = 0; i < rule->match_count; i++) {
        if (rule->matches[i].kind == MATCH_PORT)
            return true;
    }
    return false;
}

void render_rule(const struct rule *rule, struct strbuf *text)
{
    for (size_t i = 0; i < rule->match_count; i++)
        render_match(&rule->matches[i], text);
    if (!names_port(rule))
        strbuf_append(text, "meta l4proto tcp ");
    if (rule->verdict == VERDICT_REDIRECT)
        strbuf_printf(text, "redirect to :%u", rule->port);
    else
        strbuf_append(text, "return");
}

void render_table(const struct ruleset *ruleset, struct strbuf *text)
{
    strbuf_append(text, "table inet " RULESET_TABLE " {\n");
    for (enum chain chain = 0; chain < CHAIN_COUNT; chain++) {
        if (!ruleset_has_chain(ruleset, chain))
            continue;
        strbuf_printf(text, "%s\tchain %s {\n\t\t%s\n", chain > 0 ? "\n" : "", ruleset_chain_name(chain), hooks[chain]);
        for (size_t i = 0; i < ruleset->count; i++) {
            if (ruleset->rules[i].chain != chain)
                continue;
            strbuf_append(text, "\t\t");
            render_rule(&ruleset->rules[i], text);
            strbuf_printf(text, " comment \"%s\"\n", ruleset->rules[i].reason);
        }
        strbuf_append(text, "\t}\n");
    }
    strbuf_append(text, "}\n");
}

void render_script(const struct ruleset *ruleset, struct strbuf *text)
{
    strbuf_append(text, "table inet " RULESET_TABLE "\ndelete table inet " RULESET_TABLE "\n");
    render_table(ruleset, text);
}

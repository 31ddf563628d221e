#include "iptables/render.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/macros.h"

#define MOST_RULE_BYTES 1024

static void render_match(const struct match *match, struct strbuf *text)
{
    const char *not = match->negated ? "!= " : "";
    char word[CIDR_TEXT_SIZE];

    switch (match->kind) {
    case MATCH_IN_LOOPBACK:
        strbuf_printf(text, "iif %s\"lo\" ", not );
        break;
    case MATCH_OUT_LOOPBACK:
        strbuf_printf(text, "oif %s\"lo\" ", not );
        break;
    case MATCH_IN_INTERFACE:
        strbuf_printf(text, "iifname %s\"%s\" ", not, match->interface);
        break;
    case MATCH_OUT_INTERFACE:
        strbuf_printf(text, "oifname %s\"%s\" ", not, match->interface);
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
    case MATCH_MARK:
        strbuf_printf(text, "meta mark %s0x%08x ", not, match->id);
        break;
    case MATCH_TRACKED_MARK:
        strbuf_printf(text, "ct mark %s0x%08x ", not, match->id);
        break;
    case MATCH_REPLY:
        strbuf_printf(text, "ct direction %sreply ", not );
        break;
    case MATCH_NEW:
        strbuf_printf(text, "ct state %snew ", not );
        break;
    case MATCH_INVALID:
        strbuf_printf(text, "ct state %sinvalid ", not );
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

static void render_verdict(const struct rule *rule, struct strbuf *text)
{
    switch (rule->verdict) {
    case VERDICT_RETURN:
        strbuf_append(text, "return");
        break;
    case VERDICT_REDIRECT:
        strbuf_printf(text, "redirect to :%u", rule->port);
        break;
    case VERDICT_TPROXY:
        strbuf_printf(text, "tproxy to :%u meta mark set 0x%08x ct mark set 0x%08x accept", rule->port, rule->mark,
                      ruleset_taken_mark(rule->mark));
        break;
    case VERDICT_SET_MARK:
        strbuf_printf(text, "meta mark set 0x%08x", rule->mark);
        break;
    case VERDICT_SAVE_MARK:
        strbuf_printf(text, "ct mark set 0x%08x", rule->mark);
        break;
    case VERDICT_DROP:
        strbuf_append(text, "drop");
        break;
    case VERDICT_RESET:
        strbuf_append(text, "reject with tcp reset");
        break;
    }
}

static void render_matches(const struct rule *rule, struct strbuf *text)
{
    for (size_t i = 0; i < rule->match_count; i++)
        render_match(&rule->matches[i], text);
    if (!names_port(rule))
        strbuf_append(text, "meta l4proto tcp ");
}

void render_rule(const struct rule *rule, struct strbuf *text)
{
    render_matches(rule, text);
    render_verdict(rule, text);
}

void render_table(const struct ruleset *ruleset, struct strbuf *text)
{
    bool first = true;

    strbuf_append(text, "table inet " RULESET_TABLE " {\n");
    for (enum chain chain = 0; chain < CHAIN_COUNT; chain++) {
        const struct chain_place *place = ruleset_chain_place(chain);

        if (!ruleset_has_chain(ruleset, chain))
            continue;
        strbuf_printf(text, "%s\tchain %s {\n\t\t%s\n", first ? "" : "\n", place->name, place->text);
        first = false;
        for (size_t i = 0; i < ruleset->count; i++) {
            if (ruleset->rules[i].chain != chain)
                continue;
            strbuf_append(text, "\t\t");
            render_matches(&ruleset->rules[i], text);
            strbuf_printf(text, "counter packets %" PRIu64 " bytes %" PRIu64 " ", ruleset->rules[i].packets,
                          ruleset->rules[i].bytes);
            render_verdict(&ruleset->rules[i], text);
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

unsigned render_number(const struct ruleset *ruleset, const struct rule *rule)
{
    unsigned number = 0;

    for (const struct rule *one = ruleset->rules; one <= rule; one++)
        number += one->chain == rule->chain;
    return number;
}

static const char *const chain_explanations[] = {
    [CHAIN_OUTBOUND] = "connections that this network namespace makes; each is asked once, the first rule decides",
    [CHAIN_INBOUND] = "connections that come in; each is asked once, the first rule decides",
    [CHAIN_TPROXY] = "packets that come in; the first rule decides",
    [CHAIN_TAKEN] = "packets that come in, behind the others",
    [CHAIN_REPLIES] = "packets that this network namespace sends; every rule is asked",
    [CHAIN_INVALID] = "packets that come in",
};

static void render_explained_rule(const struct ruleset *ruleset, const struct rule *rule, int width,
                                  struct strbuf *text)
{
    struct strbuf words;

    strbuf_init(&words, MOST_RULE_BYTES);
    render_rule(rule, &words);
    strbuf_printf(text, "%5u %10" PRIu64 "  %-*s  %s\n", render_number(ruleset, rule), rule->packets, width, words.text,
                  rule->reason);
    strbuf_done(&words);
}

static int rule_width(const struct ruleset *ruleset)
{
    struct strbuf words;
    size_t widest = 0;

    for (size_t i = 0; i < ruleset->count; i++) {
        strbuf_init(&words, MOST_RULE_BYTES);
        render_rule(&ruleset->rules[i], &words);
        widest = MAX(widest, words.length);
        strbuf_done(&words);
    }
    return (int)widest;
}

void render_explanation(const struct ruleset *ruleset, struct strbuf *text)
{
    int width = rule_width(ruleset);
    bool first = true;

    for (enum chain chain = 0; chain < CHAIN_COUNT; chain++) {
        if (!ruleset_has_chain(ruleset, chain))
            continue;
        strbuf_printf(text, "%s%s: %s\n    #    packets  %-*s  reason\n", first ? "" : "\n",
                      ruleset_chain_place(chain)->name, chain_explanations[chain], width, "rule");
        first = false;
        for (size_t i = 0; i < ruleset->count; i++) {
            if (ruleset->rules[i].chain == chain)
                render_explained_rule(ruleset, &ruleset->rules[i], width, text);
        }
    }
}

#include "iptables/ruleset.h"

#include <netinet/in.h>

#include <errno.h>
#include <linux/netfilter.h>
#include <stdlib.h>
#include <string.h>

#include "base/sockaddr.h"

#define PRIORITY_MANGLE (-150) /* NF_IP_PRI_MANGLE */
#define PRIORITY_FILTER 0      /* NF_IP_PRI_FILTER */
#define PRIORITY_DSTNAT (-100) /* NF_IP_PRI_NAT_DST */

static const struct chain_place places[] = {
    [CHAIN_OUTBOUND] = { "outbound", "nat", NF_INET_LOCAL_OUT, PRIORITY_DSTNAT,
                         "type nat hook output priority -100; policy accept;" },
    [CHAIN_INBOUND] = { "inbound", "nat", NF_INET_PRE_ROUTING, PRIORITY_DSTNAT,
                        "type nat hook prerouting priority dstnat; policy accept;" },
    [CHAIN_TPROXY] = { "inbound_tproxy", "filter", NF_INET_PRE_ROUTING, PRIORITY_MANGLE,
                       "type filter hook prerouting priority mangle; policy accept;" },
    [CHAIN_TAKEN] = { "inbound_taken", "filter", NF_INET_LOCAL_IN, PRIORITY_FILTER,
                      "type filter hook input priority filter; policy accept;" },
    [CHAIN_REPLIES] = { "replies", "route", NF_INET_LOCAL_OUT, PRIORITY_MANGLE,
                        "type route hook output priority mangle; policy accept;" },
    [CHAIN_INVALID] = { "invalid", "filter", NF_INET_PRE_ROUTING, PRIORITY_MANGLE,
                        "type filter hook prerouting priority mangle; policy accept;" },
};

const struct chain_place *ruleset_chain_place(enum chain chain)
{
    return &places[chain];
}

void ruleset_done(struct ruleset *ruleset)
{
    free(ruleset->rules);
    *ruleset = (struct ruleset){ 0 };
}

int ruleset_append(struct ruleset *ruleset, const struct rule *rule)
{
    struct rule *grown;

    if (ruleset->count >= RULESET_MOST_RULES)
        return -E2BIG;
    grown = reallocarray(ruleset->rules, ruleset->count + 1, sizeof *grown);
    if (!grown)
        return -ENOMEM;
    ruleset->rules = grown;
    grown[ruleset->count++] = *rule;
    return 0;
}

bool ruleset_has_chain(const struct ruleset *ruleset, enum chain chain)
{
    for (size_t i = 0; i < ruleset->count; i++) {
        if (ruleset->rules[i].chain == chain)
            return true;
    }
    return false;
}

static bool match_equal(const struct match *a, const struct match *b)
{
    if (a->kind != b->kind || a->negated != b->negated)
        return false;
    switch (a->kind) {
    case MATCH_IN_LOOPBACK:
    case MATCH_OUT_LOOPBACK:
    case MATCH_REPLY:
    case MATCH_NEW:
    case MATCH_INVALID:
        return true;
    case MATCH_IN_INTERFACE:
    case MATCH_OUT_INTERFACE:
        return strcmp(a->interface, b->interface) == 0;
    case MATCH_UID:
    case MATCH_GID:
    case MATCH_MARK:
    case MATCH_TRACKED_MARK:
        return a->id == b->id;
    case MATCH_SOURCE:
    case MATCH_DESTINATION:
        return cidr_equal(&a->block, &b->block);
    case MATCH_PORT:
        return a->ports.first == b->ports.first && a->ports.last == b->ports.last;
    }
    return false;
}

static bool rule_equal(const struct rule *a, const struct rule *b)
{
    if (a->chain != b->chain || a->match_count != b->match_count || a->verdict != b->verdict || a->port != b->port ||
        a->mark != b->mark || strcmp(a->reason, b->reason) != 0)
        return false;
    for (size_t i = 0; i < a->match_count; i++) {
        if (!match_equal(&a->matches[i], &b->matches[i]))
            return false;
    }
    return true;
}

bool ruleset_equal(const struct ruleset *a, const struct ruleset *b)
{
    if (a->count != b->count)
        return false;
    for (size_t i = 0; i < a->count; i++) {
        if (!rule_equal(&a->rules[i], &b->rules[i]))
            return false;
    }
    return true;
}

uint32_t ruleset_taken_mark(uint32_t mark)
{
    return mark == UINT32_MAX ? 1 : mark + 1;
}

uint32_t ruleset_mark(const struct ruleset *ruleset)
{
    for (size_t i = 0; i < ruleset->count; i++) {
        if (ruleset->rules[i].mark != 0)
            return ruleset->rules[i].mark;
    }
    return 0;
}

static bool interface_fits(const char *pattern, const char *name)
{
    size_t length = strlen(pattern);

    if (!name)
        return false;
    return length > 0 && pattern[length - 1] == '*' ? strncmp(pattern, name, length - 1) == 0
                                                    : strcmp(pattern, name) == 0;
}

static bool match_holds(const struct match *match, const struct flow *flow)
{
    switch (match->kind) {
    case MATCH_IN_LOOPBACK:
        return interface_fits("lo", flow->in_interface) != match->negated;
    case MATCH_OUT_LOOPBACK:
        return interface_fits("lo", flow->out_interface) != match->negated;
    case MATCH_IN_INTERFACE:
        return interface_fits(match->interface, flow->in_interface) != match->negated;
    case MATCH_OUT_INTERFACE:
        return interface_fits(match->interface, flow->out_interface) != match->negated;
    case MATCH_UID:
        return (flow->uid == match->id) != match->negated;
    case MATCH_GID:
        return (flow->gid == match->id) != match->negated;
    case MATCH_SOURCE: /* a negated block is still one of its own address family */
        return flow->source->sa_family == match->block.family &&
               cidr_contains(&match->block, flow->source) != match->negated;
    case MATCH_DESTINATION:
        return flow->destination->sa_family == match->block.family &&
               cidr_contains(&match->block, flow->destination) != match->negated;
    case MATCH_PORT:
        return port_range_contains(match->ports, sockaddr_port(flow->destination)) != match->negated;
    case MATCH_NEW:
        return !match->negated;
    case MATCH_MARK: /* a first packet has no mark, is no reply, and is valid */
    case MATCH_TRACKED_MARK:
    case MATCH_REPLY:
    case MATCH_INVALID:
        return match->negated;
    }
    return false;
}

const struct rule *ruleset_decide(const struct ruleset *ruleset, enum chain chain, const struct flow *flow)
{
    for (size_t i = 0; i < ruleset->count; i++) {
        const struct rule *rule = &ruleset->rules[i];
        bool holds = rule->chain == chain && rule->verdict != VERDICT_SET_MARK && rule->verdict != VERDICT_SAVE_MARK;

        for (size_t j = 0; holds && j < rule->match_count; j++)
            holds = match_holds(&rule->matches[j], flow);
        if (holds)
            return rule;
    }
    return NULL;
}

const struct rule *ruleset_trace(const struct ruleset *ruleset, const struct flow *flow)
{
    const struct rule *rule;

    if (!flow->in_interface)
        return ruleset_decide(ruleset, CHAIN_OUTBOUND, flow);
    rule = ruleset_decide(ruleset, CHAIN_TPROXY, flow);
    return rule && rule->verdict == VERDICT_TPROXY ? rule : ruleset_decide(ruleset, CHAIN_INBOUND, flow);
}

/* The rule for the app's calls of its own service names it. */
static uint16_t inbound_port(const struct ruleset *ruleset)
{
    for (size_t i = 0; i < ruleset->count; i++) {
        const struct rule *rule = &ruleset->rules[i];

        if (rule->verdict == VERDICT_REDIRECT && rule->chain == CHAIN_OUTBOUND && rule->match_count > 1 &&
            rule->matches[0].kind == MATCH_OUT_LOOPBACK)
            return rule->port;
    }
    return 0;
}

enum landing ruleset_landing(const struct ruleset *ruleset, const struct rule *rule)
{
    switch (rule ? rule->verdict : VERDICT_RETURN) {
    case VERDICT_REDIRECT:
        return rule->port == inbound_port(ruleset) ? LANDS_INBOUND : LANDS_OUTBOUND;
    case VERDICT_TPROXY:
        return LANDS_INBOUND;
    case VERDICT_DROP:
    case VERDICT_RESET:
        return LANDS_DROPPED;
    case VERDICT_RETURN:
    case VERDICT_SET_MARK:
    case VERDICT_SAVE_MARK:
        break;
    }
    return LANDS_DIRECT;
}

#include "iptables/ruleset.h"

#include <errno.h>
#include <stdlib.h>

#include "base/sockaddr.h"

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

const char *ruleset_chain_name(enum chain chain)
{
    return chain == CHAIN_OUTBOUND ? "outbound" : "inbound";
}

bool ruleset_has_chain(const struct ruleset *ruleset, enum chain chain)
{
    for (size_t i = 0; i < ruleset->count; i++) {
        if (ruleset->rules[i].chain == chain)
            return true;
    }
    return false;
}

static bool match_holds(const struct match *match, const struct flow *flow)
{
    switch (match->kind) {
    case MATCH_OUT_LOOPBACK:
        return flow->out_loopback != match->negated;
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
    }
    return false;
}

const struct rule *ruleset_decide(const struct ruleset *ruleset, const struct flow *flow)
{
    for (size_t i = 0; i < ruleset->count; i++) {
        const struct rule *rule = &ruleset->rules[i];
        bool holds = rule->chain == flow->chain;

        for (size_t j = 0; holds && j < rule->match_count; j++)
            holds = match_holds(&rule->matches[j], flow);
        if (holds)
            return rule;
    }
    return NULL;
}

#include "proxy/policy/authorization.h"

#include <string.h>

static bool has_identity(const struct name_list *patterns, const struct spiffe_id *identity)
{
    if (patterns->count == 0)
        return true;
    for (size_t i = 0; identity && i < patterns->count; i++) {
        struct spiffe_id pattern;
        const char *problem;

        /* It was checked when the configuration was loaded. */
        if (spiffe_pattern_parse(patterns->items[i], strlen(patterns->items[i]), &pattern, &problem) == 0 &&
            spiffe_pattern_matches(&pattern, identity))
            return true;
    }
    return false;
}

static bool has_port(const struct port_list *ports, uint16_t port)
{
    for (size_t i = 0; i < ports->count; i++) {
        if (port_range_contains(ports->items[i], port))
            return true;
    }
    return ports->count == 0;
}

static bool has_source(const struct cidr_list *blocks, const struct sockaddr *source)
{
    for (size_t i = 0; i < blocks->count; i++) {
        if (cidr_contains(&blocks->items[i], source))
            return true;
    }
    return blocks->count == 0;
}

bool authorization_allows(const struct config *config, const struct authorization_subject *subject, size_t *ret_rule)
{
    for (size_t i = 0; i < config->authorization.count; i++) {
        const struct authorization_rule *rule = &config->authorization.items[i];

        if (!has_port(&rule->ports, subject->port) || !has_source(&rule->sources, subject->source) ||
            !has_identity(&rule->identities, subject->identity))
            continue;
        *ret_rule = i;
        return rule->action == AUTHORIZATION_ALLOW;
    }
    *ret_rule = AUTHORIZATION_NO_RULE;
    return config->authorization.count == 0;
}

bool authorization_may_allow(const struct config *config, const struct authorization_subject *subject)
{
    for (size_t i = 0; i < config->authorization.count; i++) {
        const struct authorization_rule *rule = &config->authorization.items[i];

        if (!has_port(&rule->ports, subject->port) || !has_source(&rule->sources, subject->source))
            continue;
        if (rule->action == AUTHORIZATION_ALLOW)
            return true;
        if (rule->identities.count == 0) /* whoever it is */
            return false;
    }
    return config->authorization.count == 0;
}

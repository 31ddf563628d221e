#include "iptables/plan.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/interception.h"

/* admin and health: asked by people and kubelet, never by way of the proxy */
static const struct port_range own_ports[] = { { 15000, 15000 }, { 15021, 15021 } };

struct plan {
    struct ruleset *ruleset;
    int error; /* the first one; then nothing more is appended */
};

static struct match block_match(enum match_kind kind, const char *text, bool negated)
{
    struct match match = { .kind = kind, .negated = negated };
    const char *why;

    (void)!cidr_parse(text, &match.block, &why); /* constants */
    return match;
}

static void append(struct plan *plan, enum chain chain, const struct match *matches, size_t count, enum verdict verdict,
                   uint16_t port, const char *reason)
{
    struct rule rule = { .chain = chain, .match_count = count, .verdict = verdict, .port = port };

    for (size_t i = 0; i < count; i++)
        rule.matches[i] = matches[i];
    snprintf(rule.reason, sizeof rule.reason, "%s", reason);
    if (plan->error == 0)
        plan->error = ruleset_append(plan->ruleset, &rule);
}

static void append_ports(struct plan *plan, enum chain chain, const struct port_range *ranges, size_t count,
                         enum verdict verdict, uint16_t port, const char *reason)
{
    for (size_t i = 0; i < count; i++) {
        struct match match = { .kind = MATCH_PORT, .ports = ranges[i] };

        append(plan, chain, &match, 1, verdict, port, reason);
    }
}

static void append_blocks(struct plan *plan, const struct block_list *blocks, enum verdict verdict, uint16_t port,
                          const char *reason)
{
    for (size_t i = 0; i < blocks->count; i++) {
        struct match match = { .kind = MATCH_DESTINATION, .block = blocks->items[i] };

        append(plan, CHAIN_OUTBOUND, &match, 1, verdict, port, reason);
    }
}

/* The proxy dials this machine's own address: the app called its own service, which is inbound traffic as any other. */
static void append_self_calls(struct plan *plan, enum match_kind kind, uint32_t id, uint16_t inbound_port)
{
    struct match matches[3] = { { .kind = MATCH_OUT_LOOPBACK }, { .kind = kind, .id = id } };

    matches[2] = block_match(MATCH_DESTINATION, "127.0.0.1", true);
    append(plan, CHAIN_OUTBOUND, matches, 3, VERDICT_REDIRECT, inbound_port,
           "the app calls its own service: as inbound");
    matches[2] = block_match(MATCH_DESTINATION, "::1", true);
    append(plan, CHAIN_OUTBOUND, matches, 3, VERDICT_REDIRECT, inbound_port,
           "the app calls its own service: as inbound");
}

static void plan_outbound(struct plan *plan, const struct options *options)
{
    const struct match loopback = { .kind = MATCH_OUT_LOOPBACK };
    struct match to_app[2] = { loopback };
    uint16_t outbound = (uint16_t)options->outbound_port, inbound = (uint16_t)options->inbound_port;

    append_ports(plan, CHAIN_OUTBOUND, options->exclude_outbound_ports.items, options->exclude_outbound_ports.count,
                 VERDICT_RETURN, 0, "excluded outbound port");
    to_app[1] = block_match(MATCH_SOURCE, INTERCEPTION_APP_SOURCE_IPV4, false);
    append(plan, CHAIN_OUTBOUND, to_app, 2, VERDICT_RETURN, 0, "proxy to app");
    to_app[1] = block_match(MATCH_SOURCE, INTERCEPTION_APP_SOURCE_IPV6, false);
    append(plan, CHAIN_OUTBOUND, to_app, 2, VERDICT_RETURN, 0, "proxy to app");
    if (options->include_inbound_ports.all || options->include_inbound_ports.count > 0) {
        for (size_t i = 0; i < options->proxy_uids.count; i++)
            append_self_calls(plan, MATCH_UID, options->proxy_uids.items[i], inbound);
        for (size_t i = 0; i < options->proxy_gids.count; i++)
            append_self_calls(plan, MATCH_GID, options->proxy_gids.items[i], inbound);
    }
    append(plan, CHAIN_OUTBOUND, &loopback, 1, VERDICT_RETURN, 0, "loopback, and the app's own address, stay direct");
    for (size_t i = 0; i < options->proxy_uids.count; i++) {
        struct match match = { .kind = MATCH_UID, .id = options->proxy_uids.items[i] };

        append(plan, CHAIN_OUTBOUND, &match, 1, VERDICT_RETURN, 0, "the proxy's own connections");
    }
    for (size_t i = 0; i < options->proxy_gids.count; i++) {
        struct match match = { .kind = MATCH_GID, .id = options->proxy_gids.items[i] };

        append(plan, CHAIN_OUTBOUND, &match, 1, VERDICT_RETURN, 0, "the proxy's own connections");
    }
    append_blocks(plan, &options->exclude_outbound_cidrs, VERDICT_RETURN, 0, "excluded outbound destination");
    append_ports(plan, CHAIN_OUTBOUND, options->include_outbound_ports.items, options->include_outbound_ports.count,
                 VERDICT_REDIRECT, outbound, "included outbound port");
    if (options->include_outbound_cidrs.all || options->include_outbound_ports.all)
        append(plan, CHAIN_OUTBOUND, NULL, 0, VERDICT_REDIRECT, outbound, "every other outbound connection");
    else
        append_blocks(plan, &options->include_outbound_cidrs, VERDICT_REDIRECT, outbound,
                      "included outbound destination");
}

static void plan_inbound(struct plan *plan, const struct options *options)
{
    uint16_t inbound = (uint16_t)options->inbound_port;

    append_ports(plan, CHAIN_INBOUND, own_ports, sizeof own_ports / sizeof own_ports[0], VERDICT_RETURN, 0,
                 "the proxy's own admin and health");
    append_ports(plan, CHAIN_INBOUND, options->exclude_inbound_ports.items, options->exclude_inbound_ports.count,
                 VERDICT_RETURN, 0, "excluded inbound port");
    append_ports(plan, CHAIN_INBOUND, options->include_inbound_ports.items, options->include_inbound_ports.count,
                 VERDICT_REDIRECT, inbound, "included inbound port");
    if (options->include_inbound_ports.all)
        append(plan, CHAIN_INBOUND, NULL, 0, VERDICT_REDIRECT, inbound, "every other inbound connection");
}

int plan_build(const struct options *options, struct ruleset *ruleset)
{
    struct plan plan = { .ruleset = ruleset };

    plan_outbound(&plan, options);
    if (options->include_inbound_ports.all || options->include_inbound_ports.count > 0)
        plan_inbound(&plan, options);
    return plan.error;
}

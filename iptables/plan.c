#include "iptables/plan.h"

#include <netinet/in.h>

#include <stdio.h>
#include <string.h>

#include "base/interception.h"
#include "base/macros.h"

static const struct port_range own_ports[] = {
    { OPTIONS_ADMIN_PORT, OPTIONS_ADMIN_PORT },
    { OPTIONS_HEALTH_PORT, OPTIONS_HEALTH_PORT },
};

#define OWN_SERVICE "the app calls its own service: as inbound"
#define TO_APP      "proxy to app"
#define TUNNEL      "another mesh's tunnel"
#define OWN_TRAFFIC "the proxy's own connections"
#define NO_GROUP    "excluded group"

struct plan {
    const struct options *options;
    struct ruleset *ruleset;
    int error; /* the first one; then nothing more is appended */
};

/* What a rule does when its matches hold. */
struct action {
    enum verdict verdict;
    uint16_t port;
    uint32_t mark;
};

static const struct action leave_alone = { .verdict = VERDICT_RETURN };

static struct action redirect_to(uint64_t port)
{
    return (struct action){ .verdict = VERDICT_REDIRECT, .port = (uint16_t)port };
}

static struct match plain_match(enum match_kind kind)
{
    return (struct match){ .kind = kind };
}

static struct match id_match(enum match_kind kind, uint32_t id)
{
    return (struct match){ .kind = kind, .id = id };
}

static struct match block_match(enum match_kind kind, const char *text, bool negated)
{
    struct match match = { .kind = kind, .negated = negated };
    const char *why;

    (void)!cidr_parse(text, &match.block, &why); /* constants */
    return match;
}

static struct match interface_match(enum match_kind kind, const char *name)
{
    struct match match = { .kind = kind };

    snprintf(match.interface, sizeof match.interface, "%s", name);
    return match;
}

static void append(struct plan *plan, enum chain chain, const struct match *matches, size_t count, struct action action,
                   const char *reason)
{
    struct rule rule = {
        .chain = chain, .match_count = count, .verdict = action.verdict, .port = action.port, .mark = action.mark
    };

    for (size_t i = 0; i < count; i++)
        rule.matches[i] = matches[i];
    snprintf(rule.reason, sizeof rule.reason, "%s", reason);
    if (plan->error == 0)
        plan->error = ruleset_append(plan->ruleset, &rule);
}

static void append_one(struct plan *plan, enum chain chain, struct match match, struct action action,
                       const char *reason)
{
    append(plan, chain, &match, 1, action, reason);
}

/* The lists below give one rule an entry, where `first`, if any, holds too. */

static void append_each(struct plan *plan, enum chain chain, const struct match *first, struct match match,
                        struct action action, const char *reason)
{
    struct match matches[2];
    size_t count = 0;

    if (first)
        matches[count++] = *first;
    matches[count++] = match;
    append(plan, chain, matches, count, action, reason);
}

static void append_ports(struct plan *plan, enum chain chain, const struct match *first,
                         const struct port_range *ranges, size_t count, struct action action, const char *reason)
{
    for (size_t i = 0; i < count; i++)
        append_each(plan, chain, first, (struct match){ .kind = MATCH_PORT, .ports = ranges[i] }, action, reason);
}

static void append_blocks(struct plan *plan, enum chain chain, const struct match *first, enum match_kind kind,
                          const struct block_list *blocks, struct action action, const char *reason)
{
    for (size_t i = 0; i < blocks->count; i++)
        append_each(plan, chain, first, (struct match){ .kind = kind, .block = blocks->items[i] }, action, reason);
}

static void append_interfaces(struct plan *plan, enum chain chain, enum match_kind kind,
                              const struct interface_list *interfaces, const char *reason)
{
    for (size_t i = 0; i < interfaces->count; i++)
        append_one(plan, chain, interface_match(kind, interfaces->items[i]), leave_alone, reason);
}

static bool is_tproxy(const struct options *options)
{
    return options->mode == MODE_TPROXY;
}

static bool captures_inbound(const struct options *options)
{
    return options->include_inbound_ports.all || options->include_inbound_ports.count > 0;
}

static void append_to_app(struct plan *plan)
{
    struct match to_app[2] = { plain_match(MATCH_OUT_LOOPBACK) };

    to_app[1] = block_match(MATCH_SOURCE, INTERCEPTION_APP_SOURCE_IPV4, false);
    append(plan, CHAIN_OUTBOUND, to_app, 2, leave_alone, TO_APP);
    to_app[1] = block_match(MATCH_SOURCE, INTERCEPTION_APP_SOURCE_IPV6, false);
    append(plan, CHAIN_OUTBOUND, to_app, 2, leave_alone, TO_APP);
    if (is_tproxy(plan->options)) {
        to_app[1] = id_match(MATCH_MARK, plan->options->tproxy_mark);
        append(plan, CHAIN_OUTBOUND, to_app, 2, leave_alone, "proxy to app, with the client's own address");
    }
}

/* The proxy dials this machine's own address: the app called its own service, which is inbound traffic as any other. */
static void append_self_calls(struct plan *plan, enum match_kind kind, const struct id_list *ids)
{
    for (size_t i = 0; i < ids->count; i++) {
        struct match matches[3] = { plain_match(MATCH_OUT_LOOPBACK), id_match(kind, ids->items[i]) };

        matches[2] = block_match(MATCH_DESTINATION, "127.0.0.1", true);
        append(plan, CHAIN_OUTBOUND, matches, 3, redirect_to(plan->options->inbound_port), OWN_SERVICE);
        matches[2] = block_match(MATCH_DESTINATION, "::1", true);
        append(plan, CHAIN_OUTBOUND, matches, 3, redirect_to(plan->options->inbound_port), OWN_SERVICE);
    }
}

static void append_owners(struct plan *plan, enum match_kind kind, const struct id_list *ids, const char *reason)
{
    for (size_t i = 0; i < ids->count; i++)
        append_one(plan, CHAIN_OUTBOUND, id_match(kind, ids->items[i]), leave_alone, reason);
}

static bool includes_loopback(const struct block_list *blocks)
{
    for (size_t i = 0; i < blocks->count; i++) {
        const struct cidr *block = &blocks->items[i];

        if (block->family == AF_INET ? block->bytes[0] == 127
                                     : memcmp(block->bytes, &in6addr_loopback, sizeof in6addr_loopback) == 0)
            return true;
    }
    return false;
}

/* As istio-iptables has it: who lists loopback among the destinations to capture gets it, but for localhost itself. */
static void append_loopback(struct plan *plan)
{
    const struct options *options = plan->options;

    if (!includes_loopback(&options->include_outbound_cidrs)) {
        append_one(plan, CHAIN_OUTBOUND, plain_match(MATCH_OUT_LOOPBACK), leave_alone,
                   "loopback, and the app's own address, stay direct");
        return;
    }
    append_one(plan, CHAIN_OUTBOUND, block_match(MATCH_DESTINATION, "127.0.0.1", false), leave_alone,
               "localhost stays direct");
    append_one(plan, CHAIN_OUTBOUND, block_match(MATCH_DESTINATION, "::1", false), leave_alone,
               "localhost stays direct");
}

/* Excluded and included destinations, where `first`, if any, holds too. */
static void append_destinations(struct plan *plan, enum chain chain, const struct match *first)
{
    const struct options *options = plan->options;
    struct action capture = redirect_to(options->outbound_port);

    append_blocks(plan, chain, first, MATCH_DESTINATION, &options->exclude_outbound_cidrs, leave_alone,
                  "excluded outbound destination");
    append_ports(plan, chain, first, options->include_outbound_ports.items, options->include_outbound_ports.count,
                 capture, "included outbound port");
    if (options->include_outbound_cidrs.all || options->include_outbound_ports.all)
        append(plan, chain, first, first ? 1 : 0, capture, "every other outbound connection");
    else
        append_blocks(plan, chain, first, MATCH_DESTINATION, &options->include_outbound_cidrs, capture,
                      "included outbound destination");
}

static void append_of_owners(struct plan *plan, enum match_kind kind, const struct id_list *ids)
{
    for (size_t i = 0; i < ids->count; i++) {
        struct match owner = id_match(kind, ids->items[i]);

        append_destinations(plan, CHAIN_OUTBOUND, &owner);
    }
}

static void plan_outbound(struct plan *plan)
{
    const struct options *options = plan->options;
    const struct match loopback = plain_match(MATCH_OUT_LOOPBACK);

    append_ports(plan, CHAIN_OUTBOUND, NULL, options->exclude_outbound_ports.items,
                 options->exclude_outbound_ports.count, leave_alone, "excluded outbound port");
    append_interfaces(plan, CHAIN_OUTBOUND, MATCH_OUT_INTERFACE, &options->exclude_interfaces, "excluded interface");
    append_to_app(plan);
    append_ports(plan, CHAIN_OUTBOUND, &loopback, options->inbound_tunnel_ports.items,
                 options->inbound_tunnel_ports.count, leave_alone, TUNNEL);
    append_self_calls(plan, MATCH_UID, &options->proxy_uids);
    append_self_calls(plan, MATCH_GID, &options->proxy_gids);
    append_loopback(plan);
    append_owners(plan, MATCH_UID, &options->proxy_uids, OWN_TRAFFIC);
    append_owners(plan, MATCH_GID, &options->proxy_gids, OWN_TRAFFIC);
    append_owners(plan, MATCH_GID, &options->exclude_outbound_gids, NO_GROUP);
    if (options->include_outbound_uids.all && options->include_outbound_gids.all) {
        append_destinations(plan, CHAIN_OUTBOUND, NULL);
        return;
    }
    append_of_owners(plan, MATCH_UID, &options->include_outbound_uids);
    append_of_owners(plan, MATCH_GID, &options->include_outbound_gids);
}

/* What comes in by a virtual interface is what a machine or container behind it sends out: outbound, never inbound. */
static void plan_virtual(struct plan *plan)
{
    const struct options *options = plan->options;

    for (size_t i = 0; i < options->virtual_interfaces.count; i++) {
        struct match from = interface_match(MATCH_IN_INTERFACE, options->virtual_interfaces.items[i]);

        append_ports(plan, CHAIN_INBOUND, &from, options->exclude_outbound_ports.items,
                     options->exclude_outbound_ports.count, leave_alone, "excluded outbound port");
        append_destinations(plan, CHAIN_INBOUND, &from);
        if (!options->include_outbound_cidrs.all && !options->include_outbound_ports.all)
            append_one(plan, CHAIN_INBOUND, from, leave_alone, "virtual interface: not inbound");
    }
}

/* The same in both modes, but for what is done with a connection that is captured. */
static void append_inbound(struct plan *plan, enum chain chain, struct action capture)
{
    const struct options *options = plan->options;

    append_ports(plan, chain, NULL, own_ports, ARRAY_SIZE(own_ports), leave_alone, "the proxy's own admin and health");
    append_ports(plan, chain, NULL, options->inbound_tunnel_ports.items, options->inbound_tunnel_ports.count,
                 leave_alone, TUNNEL);
    append_ports(plan, chain, NULL, options->exclude_inbound_ports.items, options->exclude_inbound_ports.count,
                 leave_alone, "excluded inbound port");
    append_blocks(plan, chain, NULL, MATCH_SOURCE, &options->exclude_inbound_cidrs, leave_alone,
                  "excluded inbound source");
    append_ports(plan, chain, NULL, options->include_inbound_ports.items, options->include_inbound_ports.count, capture,
                 "included inbound port");
    if (options->include_inbound_ports.all)
        append(plan, chain, NULL, 0, capture, "every other inbound connection");
}

static void plan_inbound(struct plan *plan)
{
    const struct options *options = plan->options;

    if (!captures_inbound(options) && options->virtual_interfaces.count == 0)
        return;
    if (is_tproxy(options))
        append_one(plan, CHAIN_INBOUND, id_match(MATCH_MARK, options->tproxy_mark), leave_alone,
                   "a transparent socket has it already");
    append_interfaces(plan, CHAIN_INBOUND, MATCH_IN_INTERFACE, &options->exclude_interfaces, "excluded interface");
    plan_virtual(plan);
    if (captures_inbound(options))
        append_inbound(plan, CHAIN_INBOUND, redirect_to(options->inbound_port));
}

/*
 * Every packet passes these, not only a connection's first. Where no transparent socket takes a connection, the chain
 * leaves it alone and CHAIN_INBOUND redirects it: to a proxy in the other mode, or to nobody, which refuses it. What a
 * transparent socket had taken is not redirected any more (NAT decides once for each connection), so when that socket
 * is gone, the next packet, be it the client's first once more, is answered with RST.
 *
 * Only a new connection to the app gets its mark into conntrack: should it have the addresses and ports of one that the
 * client has made, that one must not be sent astray.
 */
static void plan_tproxy(struct plan *plan)
{
    const struct options *options = plan->options;
    struct match to_app[2] = { id_match(MATCH_MARK, options->tproxy_mark), plain_match(MATCH_NEW) };
    struct match taken[3] = { id_match(MATCH_TRACKED_MARK, ruleset_taken_mark(options->tproxy_mark)) };
    struct match kept[2] = { id_match(MATCH_TRACKED_MARK, options->tproxy_mark), plain_match(MATCH_REPLY) };
    struct action capture = { VERDICT_TPROXY, (uint16_t)options->inbound_port, options->tproxy_mark };

    if (!is_tproxy(options) || !captures_inbound(options))
        return;
    append_one(plan, CHAIN_TPROXY, plain_match(MATCH_REPLY), leave_alone, "answers to connections made from here");
    append_one(plan, CHAIN_TPROXY, plain_match(MATCH_IN_LOOPBACK), leave_alone, "loopback");
    append_one(plan, CHAIN_TPROXY, taken[0], capture, "what a transparent socket has taken stays with it");
    append_interfaces(plan, CHAIN_TPROXY, MATCH_IN_INTERFACE, &options->exclude_interfaces, "excluded interface");
    append_interfaces(plan, CHAIN_TPROXY, MATCH_IN_INTERFACE, &options->virtual_interfaces,
                      "virtual interface: not inbound");
    append_inbound(plan, CHAIN_TPROXY, capture);

    taken[1] = id_match(MATCH_MARK, options->tproxy_mark);
    taken[1].negated = true;
    taken[2] = plain_match(MATCH_REPLY);
    taken[2].negated = true;
    append(plan, CHAIN_TAKEN, taken, 3, (struct action){ .verdict = VERDICT_RESET },
           "its transparent socket is gone; never past it to the app");

    append(plan, CHAIN_REPLIES, to_app, 2,
           (struct action){ .verdict = VERDICT_SAVE_MARK, .mark = options->tproxy_mark },
           "proxy to app, with the client's own address");
    append(plan, CHAIN_REPLIES, kept, 2, (struct action){ .verdict = VERDICT_SET_MARK, .mark = options->tproxy_mark },
           "what the app answers goes back to the proxy");
}

int plan_build(const struct options *options, struct ruleset *ruleset)
{
    struct plan plan = { .options = options, .ruleset = ruleset };

    plan_outbound(&plan);
    plan_inbound(&plan);
    plan_tproxy(&plan);
    if (options->drop_invalid)
        append_one(&plan, CHAIN_INVALID, plain_match(MATCH_INVALID), (struct action){ .verdict = VERDICT_DROP },
                   "belongs to no connection; an answer would reset one");
    return plan.error;
}

#include "iptables/target.h"

#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <string.h>
#include <unistd.h>

#include "base/interception.h"
#include "base/macros.h"
#include "iptables/route.h"

#define NOBODY 65534

struct search {
    const struct ruleset *ruleset;
    sa_family_t family;
    struct target *target;
    bool is_captured; /* something was found that is captured, whether or not there is a route to it */
};

/* The first uid or gid by which the rules know the proxy; NULL: there is none. The rule for the app's calls of its own
 * service has it. */
static const uint32_t *find_proxy_id(const struct ruleset *ruleset, enum match_kind kind)
{
    for (size_t i = 0; i < ruleset->count; i++) {
        const struct rule *rule = &ruleset->rules[i];

        if (rule->chain == CHAIN_OUTBOUND && rule->verdict == VERDICT_REDIRECT &&
            rule->matches[0].kind == MATCH_OUT_LOOPBACK && rule->match_count > 1 && rule->matches[1].kind == kind)
            return &rule->matches[1].id;
    }
    return NULL;
}

/* Whether a rule leaves alone whatever is of this uid or gid, or with `captured`, captures something of it. */
static bool is_named(const struct ruleset *ruleset, enum match_kind kind, uint32_t id, bool captured)
{
    for (size_t i = 0; i < ruleset->count; i++) {
        const struct rule *rule = &ruleset->rules[i];

        if (rule->chain == CHAIN_OUTBOUND && rule->matches[0].kind == kind && rule->matches[0].id == id &&
            (captured ? rule->verdict == VERDICT_REDIRECT : rule->match_count == 1 && rule->verdict == VERDICT_RETURN))
            return true;
    }
    return false;
}

/* One of the uids or gids that are captured, where the rules name them; NULL: they do not. */
static const uint32_t *find_captured(const struct ruleset *ruleset, enum match_kind kind)
{
    for (size_t i = 0; i < ruleset->count; i++) {
        const struct rule *rule = &ruleset->rules[i];

        if (rule->chain == CHAIN_OUTBOUND && rule->verdict == VERDICT_REDIRECT && rule->match_count > 0 &&
            rule->matches[0].kind == kind && !is_named(ruleset, kind, rule->matches[0].id, false))
            return &rule->matches[0].id;
    }
    return NULL;
}

/* As this process is, unless that is left alone: becoming another needs a capability. */
static uint32_t other_id(const struct ruleset *ruleset, enum match_kind kind, uint32_t own)
{
    uint32_t id = NOBODY;

    if (!is_named(ruleset, kind, own, false))
        return own;
    while (is_named(ruleset, kind, id, false))
        id--;
    return id;
}

static uint32_t captured_id(const struct ruleset *ruleset, enum match_kind kind, uint32_t own)
{
    const uint32_t *captured = find_captured(ruleset, kind);

    if (!captured || (is_named(ruleset, kind, own, true) && !is_named(ruleset, kind, own, false)))
        return other_id(ruleset, kind, own);
    return *captured;
}

/* Takes the destination when the rules capture it and there is a route to it. */
static bool try_outbound(struct search *search, const union inet_address *host, uint16_t port)
{
    struct target *target = search->target;
    struct flow flow = { .uid = target->uid, .gid = target->gid };
    struct route_query query = { .destination = &target->destination.any, .uid = target->uid };
    struct route route;
    bool known = interception_is_probe_address(&host->any) || port == INTERCEPTION_PROBE_PORT;
    int r;

    target->destination = *host;
    sockaddr_set_port(&target->destination.any, port);
    r = route_find(&query, &route);
    sockaddr_parse_host(search->family == AF_INET ? "0.0.0.0" : "::", 0, &target->source);
    if (r == 0 && route.source.family == search->family)
        target->source = route.source;
    flow.out_interface = r == 0 ? route.interface : "";
    flow.source = &target->source.any;
    flow.destination = &target->destination.any;
    target->rule = ruleset_trace(search->ruleset, &flow);
    if (ruleset_landing(search->ruleset, target->rule) != LANDS_OUTBOUND)
        return false;
    search->is_captured = true;
    target->is_known_to_proxy = known;
    if (interception_is_probe_address(&host->any))
        target->source.family = AF_UNSPEC; /* known by its destination; any port will do */
    else
        sockaddr_set_port(&target->source.any, INTERCEPTION_PROBE_PORT);
    return r == 0;
}

/* The ports that may be captured: our own, and the first of each range that a rule names. */
static bool try_ports(struct search *search, const union inet_address *host)
{
    if (try_outbound(search, host, INTERCEPTION_PROBE_PORT))
        return true;
    for (size_t i = 0; i < search->ruleset->count; i++) {
        const struct rule *rule = &search->ruleset->rules[i];

        for (size_t j = 0; j < rule->match_count; j++) {
            if (rule->matches[j].kind == MATCH_PORT && rule->verdict == VERDICT_REDIRECT &&
                try_outbound(search, host, rule->matches[j].ports.first))
                return true;
        }
    }
    return false;
}

static void set_bit(uint8_t *bytes, unsigned bit, bool on)
{
    uint8_t mask = (uint8_t)(0x80 >> (bit % 8));

    bytes[bit / 8] = on ? bytes[bit / 8] | mask : bytes[bit / 8] & (uint8_t)~mask;
}

/* The last address of the block around `block->bytes` but one (the very last may be for broadcasts), or but three. */
static void last_address(const struct cidr *block, union inet_address *ret_host)
{
    unsigned bits = cidr_address_length(block) * 8, prefix = block->prefix;
    uint8_t bytes[16];

    memcpy(bytes, block->bytes, sizeof bytes);
    for (unsigned bit = prefix; bit < bits; bit++)
        set_bit(bytes, bit, bit + 1 < bits || prefix + 1 >= bits);
    if (prefix + 2 < bits && memcmp(bytes, block->bytes, bits / 8) == 0)
        set_bit(bytes, bits - 2, false); /* that one is ours */
    *ret_host = (union inet_address){ .family = block->family };
    if (block->family == AF_INET)
        memcpy(&ret_host->in.sin_addr, bytes, sizeof ret_host->in.sin_addr);
    else
        memcpy(&ret_host->in6.sin6_addr, bytes, sizeof ret_host->in6.sin6_addr);
}

static bool try_included(struct search *search)
{
    for (size_t i = 0; i < search->ruleset->count; i++) {
        const struct rule *rule = &search->ruleset->rules[i];
        const struct match *match = &rule->matches[rule->match_count > 1 ? 1 : 0]; /* a group may be before it */
        union inet_address host;

        if (rule->chain != CHAIN_OUTBOUND || rule->verdict != VERDICT_REDIRECT || rule->match_count == 0 ||
            rule->matches[0].kind == MATCH_OUT_LOOPBACK || match->kind != MATCH_DESTINATION ||
            match->block.family != search->family)
            continue;
        last_address(&match->block, &host);
        if (try_ports(search, &host))
            return true;
    }
    return false;
}

static unsigned prefix_of(const struct sockaddr *mask)
{
    const uint8_t *bytes = mask->sa_family == AF_INET ? (const uint8_t *)&((const struct sockaddr_in *)mask)->sin_addr
                                                      : ((const struct sockaddr_in6 *)mask)->sin6_addr.s6_addr;
    unsigned prefix = 0;

    for (size_t i = 0; i < (mask->sa_family == AF_INET ? 4u : 16u); i++)
        prefix += (unsigned)__builtin_popcount(bytes[i]);
    return prefix;
}

/* Of the networks that this machine is in: without a default route there is no other way out. */
static bool try_neighbours(struct search *search)
{
    struct ifaddrs *all, *one;
    bool found = false;

    if (getifaddrs(&all) < 0)
        return false;
    for (one = all; one && !found; one = one->ifa_next) {
        struct cidr block = { .family = search->family };
        union inet_address host;

        if (!one->ifa_addr || one->ifa_addr->sa_family != search->family || !one->ifa_netmask ||
            (one->ifa_flags & IFF_LOOPBACK) || !(one->ifa_flags & IFF_UP))
            continue;
        if (search->family == AF_INET6 &&
            IN6_IS_ADDR_LINKLOCAL(&((const struct sockaddr_in6 *)one->ifa_addr)->sin6_addr))
            continue;
        block.prefix = (uint8_t)prefix_of(one->ifa_netmask);
        memcpy(block.bytes,
               search->family == AF_INET ? (const void *)&((const struct sockaddr_in *)one->ifa_addr)->sin_addr
                                         : (const void *)&((const struct sockaddr_in6 *)one->ifa_addr)->sin6_addr,
               cidr_address_length(&block));
        last_address(&block, &host);
        found = try_ports(search, &host);
    }
    freeifaddrs(all);
    return found;
}

int target_choose_outbound(const struct ruleset *ruleset, sa_family_t family, struct target *ret_target)
{
    struct search search = { .ruleset = ruleset, .family = family, .target = ret_target };
    union inet_address probe;

    *ret_target = (struct target){ .uid = captured_id(ruleset, MATCH_UID, geteuid()),
                                   .gid = captured_id(ruleset, MATCH_GID, getegid()) };
    sockaddr_parse_host(family == AF_INET ? INTERCEPTION_PROBE_IPV4 : INTERCEPTION_PROBE_IPV6, 0, &probe);
    if (try_ports(&search, &probe) || try_included(&search) || try_neighbours(&search))
        return 0;
    return search.is_captured ? -ENETUNREACH : -ENOENT;
}

int target_choose_inbound(const struct ruleset *ruleset, sa_family_t family, struct target *ret_target)
{
    const uint32_t *uid = find_proxy_id(ruleset, MATCH_UID), *gid = find_proxy_id(ruleset, MATCH_GID);
    struct flow flow = { .out_interface = "lo" };

    *ret_target = (struct target){ .uid = uid ? *uid : geteuid(),
                                   .gid = gid ? *gid : getegid(),
                                   .is_known_to_proxy = true };
    sockaddr_parse_host(family == AF_INET ? INTERCEPTION_APP_SOURCE_IPV4 : INTERCEPTION_APP_SOURCE_IPV6,
                        INTERCEPTION_PROBE_PORT, &ret_target->destination);
    sockaddr_parse_host(family == AF_INET ? "127.0.0.1" : "::1", 0, &ret_target->source);
    flow.uid = ret_target->uid;
    flow.gid = ret_target->gid;
    flow.source = &ret_target->source.any;
    flow.destination = &ret_target->destination.any;
    ret_target->rule = ruleset_trace(ruleset, &flow);
    return ruleset_landing(ruleset, ret_target->rule) == LANDS_INBOUND ? 0 : -ENOENT;
}

/* What verify dials: a connection that the rules capture. Who the proxy is, they say too. */
#pragma once

#include "base/sockaddr.h"
#include "iptables/ruleset.h"

struct target {
    union inet_address destination;
    union inet_address source; /* AF_UNSPEC: as the kernel likes */
    uint32_t uid, gid;         /* who dials */
    const struct rule *rule;   /* that captures it; borrowed from the ruleset */
    bool is_known_to_proxy;    /* a running proxy sees that it is a probe, and answers */
};

/*
 * An outgoing connection by another user than the proxy's: to a documentation address where there is a route to it and
 * the rules capture it, else to an address among the destinations to capture, else to a neighbour.
 *
 * Returns 0, -ENOENT when these rules capture nothing of this family, or -ENETUNREACH when there is no route to
 * anything that they capture.
 */
int target_choose_outbound(const struct ruleset *ruleset, sa_family_t family, struct target *ret_target);

/*
 * The proxy's call of the app's own service, which has the inbound policy.
 *
 * Returns 0, or -ENOENT when these rules leave it alone.
 */
int target_choose_inbound(const struct ruleset *ruleset, sa_family_t family, struct target *ret_target);

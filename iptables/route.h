/* How a connection would leave this machine, as the kernel's routes and rules have it. */
#pragma once

#include <net/if.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/sockaddr.h"

struct route_query {
    const struct sockaddr *destination;
    const struct sockaddr *source; /* NULL: any; its port does not matter */
    uint32_t uid;
    uint32_t mark; /* of the packets; 0: none */
};

struct route {
    bool is_local;             /* it stays on this machine */
    char interface[IFNAMSIZ];  /* through which it leaves; "lo" when it stays */
    union inet_address source; /* that it would have; all zero when the kernel does not say */
};

/*
 * Asks the kernel; sends nothing to anybody.
 * Returns 0 or what connect(2) would fail with: -ENETUNREACH or -EHOSTUNREACH when there is no route (nor one for TCP,
 * to a multicast or broadcast address), -EINVAL or -EACCES when the route is a blackhole or prohibited, or another
 * negative errno.
 */
int route_find(const struct route_query *query, struct route *ret_route);

/* Whether it is an address of this machine. */
bool route_is_own(const struct sockaddr *address);

/* Whether lo has IPv6, through which everything goes that is redirected. */
bool route_has_ipv6(void);

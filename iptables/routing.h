/* Routes: where a connection would leave, and the policy routing of TPROXY mode. */
#pragma once

#include <net/if.h>
#include <stdint.h>

#include "base/sockaddr.h"

struct route {
    char interface[IFNAMSIZ];  /* through which it leaves; "lo" for an address of this machine */
    union inet_address source; /* that it would have; all zero when the kernel does not say */
};

/*
 * How a connection of `uid` would leave, or only one from `source` (NULL: any; its port does not matter). Asks the
 * kernel; sends nothing to anybody.
 * Returns 0 or what connect(2) would fail with: -ENETUNREACH or -EHOSTUNREACH when there is no route (nor one for TCP,
 * to a multicast or broadcast address), -EINVAL or -EACCES when the route is a blackhole or prohibited, or another
 * negative errno.
 */
int routing_find(const struct sockaddr *source, const struct sockaddr *destination, uint32_t uid,
                 struct route *ret_route);

/*
 * Packets with `mark` are delivered on this machine, whatever their destination: `ip rule add fwmark MARK lookup
 * TABLE`, `ip route add local default dev lo table TABLE`, for both families (IPv6 only where there is any). Doing it
 * twice is doing it once.
 * Returns 0 or a negative errno.
 */
int routing_add(uint32_t mark, uint32_t table);

/*
 * Takes away what routing_add() has ever added here, but for this mark and table (0, 0: all of it). Others' rules and
 * routes stay.
 * Returns 0 or a negative errno.
 */
int routing_keep(uint32_t mark, uint32_t table);

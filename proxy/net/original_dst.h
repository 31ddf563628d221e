/* Where a captured connection was going before nftables redirected it. */
#pragma once

#include "base/sockaddr.h"

/*
 * Asks conntrack (SO_ORIGINAL_DST; the IPv6 twin has the same number, linux/netfilter_ipv6/ip6_tables.h).
 * `family` is the listening socket's. Returns 0, or -ENOENT when the connection was not redirected.
 */
int original_dst_get(int fd, sa_family_t family, union inet_address *ret_address);

/* The policy routing of TPROXY mode. */
#pragma once

#include <stdint.h>

/* Before any rule of a container network (`from 10.1.0.5 lookup 100`), which would send the app's answers out. */
#define ROUTING_PRIORITY 133

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

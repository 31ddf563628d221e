/* The command line of outrigger-init and its environment variables. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cidr.h"
#include "base/port_range.h"

#define OPTIONS_MOST_ITEMS 256 /* of each list */

struct id_list {
    uint32_t *items;
    size_t count;
};

struct block_list {
    bool all; /* `*` */
    struct cidr *items;
    size_t count;
};

struct range_list {
    bool all; /* `*` */
    struct port_range *items;
    size_t count;
};

struct options {
    uint64_t outbound_port, inbound_port;
    struct id_list proxy_uids, proxy_gids;
    struct block_list include_outbound_cidrs, exclude_outbound_cidrs;
    struct range_list include_outbound_ports, exclude_outbound_ports;
    struct range_list include_inbound_ports, exclude_inbound_ports;
    uint64_t verify_timeout_ms;
    bool dry_run, no_verify;
    bool help, version;
    const char *subcommand; /* "apply" when none was named */
};

/*
 * Environment first, then the command line. Problems are printed, one line each, all of them.
 * Returns 0, -EINVAL when there was a problem, or -ENOMEM. Call options_done() whatever it returns.
 */
int options_parse(int argc, char **argv, struct options *options);
void options_done(struct options *options);

/* Prints the options' part of the help. */
void options_print_help(void);

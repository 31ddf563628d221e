/* The command line of outrigger-init and its environment variables. */
#pragma once

#include <net/if.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cidr.h"
#include "base/port_range.h"

#define OPTIONS_MOST_ITEMS 256 /* of each list */

/* The proxy's own: asked by people and kubelet, never by way of the proxy. */
#define OPTIONS_ADMIN_PORT  15000
#define OPTIONS_HEALTH_PORT 15021

struct id_list {
    bool all; /* `*` */
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

struct interface_list {
    char (*items)[IFNAMSIZ]; /* a last `*` stands for any rest */
    size_t count;
};

enum mode {
    MODE_REDIRECT, /* inbound connections are redirected; the app sees 127.0.0.6 or ::6 */
    MODE_TPROXY,   /* the app sees the client's own address */
};

enum command { COMMAND_APPLY, COMMAND_VERIFY, COMMAND_SHOW, COMMAND_TRACE, COMMAND_REMOVE, COMMAND_COUNT };

struct options {
    uint64_t outbound_port, inbound_port;
    struct id_list proxy_uids, proxy_gids;
    struct id_list include_outbound_uids, include_outbound_gids, exclude_outbound_gids;
    struct block_list include_outbound_cidrs, exclude_outbound_cidrs;
    struct range_list include_outbound_ports, exclude_outbound_ports;
    struct range_list include_inbound_ports, exclude_inbound_ports;
    struct range_list inbound_tunnel_ports;
    struct block_list exclude_inbound_cidrs; /* of sources */
    struct interface_list exclude_interfaces, virtual_interfaces;
    uint64_t mode; /* enum mode */
    uint32_t tproxy_mark, tproxy_route_table;
    bool drop_invalid;
    uint64_t verify_timeout_ms;
    bool dry_run, no_verify, explain;
    bool help, version;
    enum command command;
    const char *command_option; /* of another program, that has chosen it; NULL: none */

    /* The connection that trace asks about. */
    char *to, *from; /* ADDRESS:PORT, ADDRESS; NULL: not given */
    uint32_t uid, gid;
    char *in_interface, *out_interface;
};

/*
 * Environment first, then the command line. Problems are printed, one line each, all of them; so is what is
 * accepted for the sake of older habits and does nothing here.
 * Returns 0, -EINVAL when there was a problem, or -ENOMEM. Call options_done() whatever it returns.
 */
int options_parse(int argc, char **argv, struct options *options);
void options_done(struct options *options);

/* Prints the options' part of the help. */
void options_print_help(void);

/* Prints the options, and those of other programs that are understood, as Markdown tables. */
void options_print_reference(void);

const char *options_command_name(enum command command);

#include "iptables/conflicts.h"

#include <errno.h>
#include <string.h>

#include "base/macros.h"
#include "iptables/complain.h"

static bool range_within(struct port_range inner, struct port_range outer)
{
    return inner.first >= outer.first && inner.last <= outer.last;
}

/* An included entry that an excluded one covers whole would never count: one of both is a slip. */

static int check_ranges(const struct range_list *included, const char *included_name, const struct range_list *excluded,
                        const char *excluded_name)
{
    char inner[PORT_RANGE_TEXT_SIZE], outer[PORT_RANGE_TEXT_SIZE];
    int r = 0;

    for (size_t i = 0; i < included->count; i++) {
        for (size_t j = 0; j < excluded->count; j++) {
            if (range_within(included->items[i], excluded->items[j])) {
                r = complain("--%s: %s is excluded by %s of --%s; take it out of one of them", included_name,
                             port_range_format(included->items[i], inner), port_range_format(excluded->items[j], outer),
                             excluded_name);
                break;
            }
        }
    }
    return r;
}

static int check_blocks(const struct options *options)
{
    const struct block_list *included = &options->include_outbound_cidrs, *excluded = &options->exclude_outbound_cidrs;
    char inner[CIDR_TEXT_SIZE], outer[CIDR_TEXT_SIZE];
    int r = 0;

    for (size_t i = 0; i < included->count; i++) {
        for (size_t j = 0; j < excluded->count; j++) {
            if (cidr_within(&included->items[i], &excluded->items[j])) {
                r = complain("--include-outbound-cidrs: %s is excluded by %s of --exclude-outbound-cidrs; take it out "
                             "of one of them",
                             cidr_format(&included->items[i], inner), cidr_format(&excluded->items[j], outer));
                break;
            }
        }
    }
    return r;
}

static int check_interfaces(const struct options *options)
{
    int r = 0;

    for (size_t i = 0; i < options->virtual_interfaces.count; i++) {
        for (size_t j = 0; j < options->exclude_interfaces.count; j++) {
            if (strcmp(options->virtual_interfaces.items[i], options->exclude_interfaces.items[j]) == 0)
                r = complain("--virtual-interfaces: %s is in --exclude-interfaces too; take it out of one of them",
                             options->virtual_interfaces.items[i]);
        }
    }
    return r;
}

static int check_users(const struct options *options)
{
    const struct id_list *included = &options->include_outbound_uids, *own = &options->proxy_uids;
    int r = 0;

    for (size_t i = 0; i < included->count; i++) {
        for (size_t j = 0; j < own->count; j++) {
            if (included->items[i] == own->items[j])
                r = complain("--include-outbound-uids: %u is the proxy's own (--proxy-uid), which is never captured",
                             included->items[i]);
        }
    }
    return r;
}

static int check_groups(const struct options *options)
{
    const struct id_list *included = &options->include_outbound_gids, *excluded = &options->exclude_outbound_gids;
    const struct id_list *own = &options->proxy_gids;
    int r = 0;

    for (size_t i = 0; i < included->count; i++) {
        for (size_t j = 0; j < excluded->count; j++) {
            if (included->items[i] == excluded->items[j])
                r = complain(
                    "--include-outbound-gids: %u is in --exclude-outbound-gids too; take it out of one of them",
                    included->items[i]);
        }
        for (size_t j = 0; j < own->count; j++) {
            if (included->items[i] == own->items[j])
                r = complain("--include-outbound-gids: %u is the proxy's own (--proxy-gid), which is never captured",
                             included->items[i]);
        }
    }
    return r;
}

/* An option that another command would not read. */
static int check_belongs(const struct options *options, bool given, const char *name, enum command command)
{
    if (!given || options->command == command)
        return 0;
    return complain("--%s belongs to %s, not to %s", name, options_command_name(command),
                    options_command_name(options->command));
}

static int check_commands(const struct options *options)
{
    int r = 0;

    if (options->dry_run && options->command != COMMAND_TRACE)
        r |= check_belongs(options, true, "dry-run", COMMAND_APPLY);
    r |= check_belongs(options, options->explain, "explain", COMMAND_SHOW);
    r |= check_belongs(options, options->to, "to", COMMAND_TRACE);
    r |= check_belongs(options, options->from, "from", COMMAND_TRACE);
    r |= check_belongs(options, options->in_interface, "in-interface", COMMAND_TRACE);
    r |= check_belongs(options, options->out_interface, "out-interface", COMMAND_TRACE);
    r |= check_belongs(options, options->uid != 0, "uid", COMMAND_TRACE);
    r |= check_belongs(options, options->gid != 0, "gid", COMMAND_TRACE);
    if (options->command == COMMAND_TRACE && !options->to)
        r |= complain("trace needs --to ADDRESS:PORT");
    if (options->in_interface && options->out_interface)
        r |= complain("--in-interface: a connection that comes in has no --out-interface");
    if (options->in_interface && (options->uid != 0 || options->gid != 0))
        r |= complain("--in-interface: of a connection that comes in, --uid and --gid are not known");
    return r;
}

static int check_capture_port(const char *name, uint64_t port)
{
    if (port == OPTIONS_ADMIN_PORT || port == OPTIONS_HEALTH_PORT)
        return complain("--%s: the proxy has port %u for %s; take another", name, (unsigned)port,
                        port == OPTIONS_ADMIN_PORT ? "admin" : "health");
    return 0;
}

int conflicts_check(const struct options *options)
{
    int r = check_commands(options);

    r |= check_capture_port("outbound-port", options->outbound_port);
    r |= check_capture_port("inbound-port", options->inbound_port);
    if (options->outbound_port == options->inbound_port)
        r |= complain("--inbound-port: the same port as --outbound-port");
    if (options->proxy_uids.count == 0 && options->proxy_gids.count == 0)
        r |= complain("--proxy-uid: neither a uid nor a gid of the proxy is given; its own connections would be "
                      "captured again");
    r |= check_ranges(&options->include_outbound_ports, "include-outbound-ports", &options->exclude_outbound_ports,
                      "exclude-outbound-ports");
    r |= check_ranges(&options->include_inbound_ports, "include-inbound-ports", &options->exclude_inbound_ports,
                      "exclude-inbound-ports");
    r |= check_blocks(options);
    r |= check_users(options);
    r |= check_groups(options);
    r |= check_interfaces(options);
    return r < 0 ? -EINVAL : 0;
}

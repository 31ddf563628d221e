#include "iptables/routing.h"

#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/fib_rules.h>
#include <linux/rtnetlink.h>
#include <net/if.h>

#include "iptables/netlink.h"

#define MESSAGE_BYTES 512

/* Whose rules and routes these are (/etc/iproute2/rt_protos), so that only ours are taken away. */
#define OUR_PROTOCOL 133

/* Of ours that are found, each of another run's mark and table; further ones wait for the next run. */
#define MOST_FOUND 64

static int change_rule(sa_family_t family, uint16_t type, uint16_t flags, uint32_t mark, uint32_t table)
{
    char buffer[MESSAGE_BYTES];
    struct nlmsghdr *message = mnl_nlmsg_put_header(buffer);
    struct fib_rule_hdr *rule;

    message->nlmsg_type = type;
    message->nlmsg_flags = flags;
    rule = mnl_nlmsg_put_extra_header(message, sizeof *rule);
    rule->family = (uint8_t)family;
    rule->action = FR_ACT_TO_TBL;
    mnl_attr_put_u32(message, FRA_PRIORITY, ROUTING_PRIORITY);
    mnl_attr_put_u32(message, FRA_FWMARK, mark);
    mnl_attr_put_u32(message, FRA_TABLE, table);
    mnl_attr_put_u8(message, FRA_PROTOCOL, OUR_PROTOCOL);
    return netlink_change_routing(message);
}

static int change_route(sa_family_t family, uint16_t type, uint16_t flags, uint32_t table)
{
    char buffer[MESSAGE_BYTES];
    struct nlmsghdr *message = mnl_nlmsg_put_header(buffer);
    struct rtmsg *route;

    message->nlmsg_type = type;
    message->nlmsg_flags = flags;
    route = mnl_nlmsg_put_extra_header(message, sizeof *route);
    route->rtm_family = (unsigned char)family;
    route->rtm_type = RTN_LOCAL;
    route->rtm_scope = family == AF_INET ? RT_SCOPE_HOST : RT_SCOPE_UNIVERSE;
    route->rtm_protocol = OUR_PROTOCOL;
    mnl_attr_put_u32(message, RTA_TABLE, table);
    mnl_attr_put_u32(message, RTA_OIF, if_nametoindex("lo"));
    return netlink_change_routing(message);
}

static bool is_without_ipv6(int r)
{
    return r == -EAFNOSUPPORT || r == -EOPNOTSUPP || r == -EACCES || r == -EINVAL || r == -ENODEV;
}

static int add_family(sa_family_t family, uint32_t mark, uint32_t table)
{
    int r = change_route(family, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, table);

    if (r < 0 && r != -EEXIST)
        return r;
    r = change_rule(family, RTM_NEWRULE, NLM_F_CREATE | NLM_F_EXCL, mark, table);
    return r == -EEXIST ? 0 : r;
}

int routing_add(uint32_t mark, uint32_t table)
{
    int r = add_family(AF_INET, mark, table), r6;

    if (r < 0)
        return r;
    r6 = add_family(AF_INET6, mark, table);
    return is_without_ipv6(r6) ? 0 : r6;
}

struct found {
    struct {
        sa_family_t family;
        uint32_t mark, table;
    } rules[MOST_FOUND];
    size_t count;
};

struct rule_attributes {
    uint32_t mark, table, priority;
    uint8_t protocol;
};

static int take_rule_attribute(const struct nlattr *attribute, void *argument)
{
    struct rule_attributes *rule = argument;

    switch (mnl_attr_get_type(attribute)) {
    case FRA_FWMARK:
        rule->mark = mnl_attr_get_u32(attribute);
        break;
    case FRA_TABLE:
        rule->table = mnl_attr_get_u32(attribute);
        break;
    case FRA_PRIORITY:
        rule->priority = mnl_attr_get_u32(attribute);
        break;
    case FRA_PROTOCOL:
        rule->protocol = mnl_attr_get_u8(attribute);
        break;
    default:
        break;
    }
    return MNL_CB_OK;
}

static int take_rule(const struct nlmsghdr *answer, void *argument)
{
    const struct fib_rule_hdr *header = mnl_nlmsg_get_payload(answer);
    struct rule_attributes rule = { 0 };
    struct found *found = argument;

    if (mnl_attr_parse(answer, sizeof *header, take_rule_attribute, &rule) < 0)
        return MNL_CB_ERROR;
    if (rule.protocol == OUR_PROTOCOL && rule.priority == ROUTING_PRIORITY && found->count < MOST_FOUND) {
        found->rules[found->count].family = header->family;
        found->rules[found->count].mark = rule.mark;
        found->rules[found->count].table = rule.table;
        found->count++;
    }
    return MNL_CB_OK;
}

static int find_ours(sa_family_t family, struct found *found)
{
    char buffer[MESSAGE_BYTES];
    struct nlmsghdr *request = mnl_nlmsg_put_header(buffer);
    struct fib_rule_hdr *rule;
    struct mnl_socket *socket;
    int r;

    request->nlmsg_type = RTM_GETRULE;
    request->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
    request->nlmsg_seq = 1;
    rule = mnl_nlmsg_put_extra_header(request, sizeof *rule);
    rule->family = (uint8_t)family;
    r = netlink_open(NETLINK_ROUTE, &socket);
    if (r < 0)
        return r;
    r = netlink_ask(socket, request, take_rule, found);
    mnl_socket_close(socket);
    return r;
}

/* A rule, and its table's route but for the table that is kept. */
static int remove_one(sa_family_t family, uint32_t mark, uint32_t table, uint32_t kept_table)
{
    int r = change_rule(family, RTM_DELRULE, 0, mark, table);

    if (r < 0 && r != -ENOENT)
        return r;
    if (table == kept_table)
        return 0;
    r = change_route(family, RTM_DELROUTE, 0, table);
    return r == -ESRCH || r == -ENOENT ? 0 : r;
}

int routing_keep(uint32_t mark, uint32_t table)
{
    struct found found = { 0 };
    int r = find_ours(AF_INET, &found), r6 = find_ours(AF_INET6, &found);

    if (r == 0 && !is_without_ipv6(r6))
        r = r6;
    for (size_t i = 0; r == 0 && i < found.count; i++) {
        if (found.rules[i].mark != mark || found.rules[i].table != table)
            r = remove_one(found.rules[i].family, found.rules[i].mark, found.rules[i].table, table);
    }
    return r;
}

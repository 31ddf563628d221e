#include "iptables/route.h"

#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <string.h>

#include "iptables/netlink.h"

#define MESSAGE_BYTES 512

static const void *address_bytes(const union inet_address *address, size_t *ret_length)
{
    if (address->family == AF_INET) {
        *ret_length = sizeof address->in.sin_addr;
        return &address->in.sin_addr;
    }
    *ret_length = sizeof address->in6.sin6_addr;
    return &address->in6.sin6_addr;
}

static int take_attribute(const struct nlattr *attribute, void *argument)
{
    struct route *route = argument;
    size_t length = mnl_attr_get_payload_len(attribute);

    if (mnl_attr_get_type(attribute) == RTA_OIF) {
        if (!if_indextoname(mnl_attr_get_u32(attribute), route->interface))
            route->interface[0] = '\0';
    } else if (mnl_attr_get_type(attribute) == RTA_PREFSRC) {
        route->source.family = length == sizeof route->source.in.sin_addr ? AF_INET : AF_INET6;
        if (route->source.family == AF_INET)
            memcpy(&route->source.in.sin_addr, mnl_attr_get_payload(attribute), sizeof route->source.in.sin_addr);
        else
            memcpy(&route->source.in6.sin6_addr, mnl_attr_get_payload(attribute), sizeof route->source.in6.sin6_addr);
    }
    return MNL_CB_OK;
}

static int take_route(const struct nlmsghdr *answer, void *argument)
{
    const struct rtmsg *found = mnl_nlmsg_get_payload(answer);
    struct route *route = argument;

    if (answer->nlmsg_type != RTM_NEWROUTE)
        return MNL_CB_OK;
    if (found->rtm_type == RTN_BROADCAST || found->rtm_type == RTN_MULTICAST) {
        errno = ENETUNREACH;
        return MNL_CB_ERROR;
    }
    if (mnl_attr_parse(answer, sizeof *found, take_attribute, route) < 0)
        return MNL_CB_ERROR;
    route->is_local = found->rtm_type == RTN_LOCAL;
    if (route->is_local) /* IPv6 names the interface that has the address */
        snprintf(route->interface, sizeof route->interface, "lo");
    return MNL_CB_STOP;
}

static void put_address(struct nlmsghdr *request, uint16_t attribute, const struct sockaddr *address)
{
    union inet_address copy = { .any = { .sa_family = AF_UNSPEC } };
    const void *bytes;
    size_t length;

    memcpy(&copy, address, sockaddr_length(address));
    bytes = address_bytes(&copy, &length);
    mnl_attr_put(request, attribute, length, bytes);
}

int route_find(const struct route_query *query, struct route *ret_route)
{
    uint8_t bits = query->destination->sa_family == AF_INET ? 32 : 128;
    char buffer[MESSAGE_BYTES];
    struct nlmsghdr *request = mnl_nlmsg_put_header(buffer);
    struct mnl_socket *socket;
    struct rtmsg *header;
    int r;

    *ret_route = (struct route){ 0 };
    request->nlmsg_type = RTM_GETROUTE;
    request->nlmsg_flags = NLM_F_REQUEST;
    request->nlmsg_seq = 1;
    header = mnl_nlmsg_put_extra_header(request, sizeof *header);
    header->rtm_family = (unsigned char)query->destination->sa_family;
    header->rtm_dst_len = bits;
    put_address(request, RTA_DST, query->destination);
    if (query->source) {
        header->rtm_src_len = bits;
        put_address(request, RTA_SRC, query->source);
    }
    mnl_attr_put_u32(request, RTA_UID, query->uid);
    if (sockaddr_port(query->destination) != 0) { /* unknown to kernels before 4.18, which pass it over */
        mnl_attr_put_u8(request, RTA_IP_PROTO, IPPROTO_TCP);
        mnl_attr_put_u16(request, RTA_DPORT, htons(sockaddr_port(query->destination)));
    }
    if (query->mark != 0)
        mnl_attr_put_u32(request, RTA_MARK, query->mark);
    r = netlink_open(NETLINK_ROUTE, &socket);
    if (r < 0)
        return r;
    r = netlink_ask(socket, request, take_route, ret_route);
    mnl_socket_close(socket);
    return r;
}

bool route_is_own(const struct sockaddr *address)
{
    struct route_query query = { .destination = address };
    struct route route;

    return route_find(&query, &route) == 0 && route.is_local;
}

bool route_has_ipv6(void)
{
    static const struct sockaddr_in6 localhost = { .sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT };

    return route_is_own((const struct sockaddr *)&localhost);
}

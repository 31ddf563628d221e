#include "iptables/address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sys/socket.h>

#include "base/interception.h"
#include "iptables/netlink.h"

static int change(uint16_t type, uint16_t flags)
{
    char buffer[256];
    struct nlmsghdr *message = mnl_nlmsg_put_header(buffer);
    struct ifaddrmsg *address;
    struct in6_addr ip;

    inet_pton(AF_INET6, INTERCEPTION_APP_SOURCE_IPV6, &ip);
    message->nlmsg_type = type;
    message->nlmsg_flags = flags;
    address = mnl_nlmsg_put_extra_header(message, sizeof *address);
    address->ifa_family = AF_INET6;
    address->ifa_prefixlen = 128;
    address->ifa_flags = IFA_F_NODAD;
    address->ifa_scope = RT_SCOPE_HOST;
    address->ifa_index = if_nametoindex("lo");
    mnl_attr_put(message, IFA_LOCAL, sizeof ip, &ip);
    mnl_attr_put(message, IFA_ADDRESS, sizeof ip, &ip);
    return netlink_change_routing(message);
}

/* What rtnetlink says where IPv6 is compiled out or disabled (disable_ipv6). */
static int without_ipv6(int r)
{
    return r == -EOPNOTSUPP || r == -EACCES || r == -EAFNOSUPPORT ? -EAFNOSUPPORT : r;
}

int address_add(void)
{
    int r = change(RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE);

    return r == -EEXIST ? 0 : without_ipv6(r);
}

int address_remove(void)
{
    int r = change(RTM_DELADDR, 0);

    return r == -EADDRNOTAVAIL || r == -ENODEV ? 0 : without_ipv6(r);
}

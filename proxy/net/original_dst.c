#include "proxy/net/original_dst.h"

#include <errno.h>
#include <linux/netfilter_ipv4.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

int original_dst_get(int fd, sa_family_t family, union inet_address *ret_address)
{
    union inet_address address;
    socklen_t length = family == AF_INET ? sizeof address.in : sizeof address.in6;

    memset(&address, 0, sizeof address);
    if (getsockopt(fd, family == AF_INET ? IPPROTO_IP : IPPROTO_IPV6, SO_ORIGINAL_DST, &address, &length) < 0)
        return errno == ENOPROTOOPT ? -ENOENT : -errno;
    *ret_address = address;
    return 0;
}

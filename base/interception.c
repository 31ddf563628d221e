#include "base/interception.h"

#include <netinet/in.h>

#include <arpa/inet.h>
#include <string.h>

/* The same addresses as the texts in the header: tests/unit/base/test_addresses.c compares them. */
static const struct in6_addr probe_ipv6 = { .s6_addr = { 0x20, 0x01, 0x0d, 0xb8, [15] = 2 } };
static const struct in6_addr app_source_ipv6 = { .s6_addr = { [15] = 6 } };

#define PROBE_IPV4      0xc0000202U
#define APP_SOURCE_IPV4 0x7f000006U

static bool is_one_of(const struct sockaddr *address, uint32_t ipv4, const struct in6_addr *ipv6)
{
    if (address->sa_family == AF_INET)
        return ((const struct sockaddr_in *)address)->sin_addr.s_addr == htonl(ipv4);
    return address->sa_family == AF_INET6 &&
           memcmp(&((const struct sockaddr_in6 *)address)->sin6_addr, ipv6, sizeof *ipv6) == 0;
}

bool interception_is_probe_address(const struct sockaddr *address)
{
    return is_one_of(address, PROBE_IPV4, &probe_ipv6);
}

bool interception_is_app_source(const struct sockaddr *address)
{
    return is_one_of(address, APP_SOURCE_IPV4, &app_source_ipv6);
}

#include "base/sockaddr.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/units.h"

#define UNIX_PREFIX "unix:"

static int parse_unix(const char *path, union sockaddr_any *ret_address, const char **ret_problem)
{
    union sockaddr_any address = { .un = { .sun_family = AF_UNIX } };
    size_t length = strlen(path);

    if (path[0] != '/') {
        *ret_problem = "the path of a unix socket starts with '/'";
        return -EINVAL;
    }
    if (length >= sizeof address.un.sun_path) {
        *ret_problem = "the path of a unix socket has at most 107 bytes";
        return -EINVAL;
    }
    memcpy(address.un.sun_path, path, length + 1);
    *ret_address = address;
    return 0;
}

int sockaddr_parse_host(const char *text, uint16_t port, union inet_address *ret_address)
{
    union inet_address address;

    memset(&address, 0, sizeof address);
    if (inet_pton(AF_INET, text, &address.in.sin_addr) == 1) {
        address.in.sin_family = AF_INET;
        address.in.sin_port = htons(port);
    } else if (inet_pton(AF_INET6, text, &address.in6.sin6_addr) == 1) {
        address.in6.sin6_family = AF_INET6;
        address.in6.sin6_port = htons(port);
    } else
        return -EINVAL;
    *ret_address = address;
    return 0;
}

int sockaddr_parse(const char *text, union sockaddr_any *ret_address, const char **ret_problem)
{
    char host[INET6_ADDRSTRLEN];
    const char *host_start = text, *host_end, *colon = strrchr(text, ':');
    uint64_t port;

    if (strncmp(text, UNIX_PREFIX, strlen(UNIX_PREFIX)) == 0)
        return parse_unix(text + strlen(UNIX_PREFIX), ret_address, ret_problem);
    if (!colon || (text[0] == '[' && colon[-1] != ']')) {
        *ret_problem = "the port is missing; write ADDRESS:PORT or [ADDRESS]:PORT";
        return -EINVAL;
    }
    if (units_parse_number(colon + 1, &port) < 0 || port < 1 || port > 65535) {
        *ret_problem = "a port is a number from 1 to 65535";
        return -EINVAL;
    }
    host_end = colon;
    if (text[0] == '[') {
        host_start++;
        host_end--;
    } else if (memchr(text, ':', (size_t)(colon - text))) {
        *ret_problem = "an IPv6 address with a port is written in brackets: [ADDRESS]:PORT";
        return -EINVAL;
    }
    *ret_problem = "not an IPv4 or IPv6 address";
    if (host_end <= host_start || (size_t)(host_end - host_start) >= sizeof host)
        return -EINVAL;
    memcpy(host, host_start, (size_t)(host_end - host_start));
    host[host_end - host_start] = '\0';
    if ((text[0] == '[') != (strchr(host, ':') != NULL))
        return -EINVAL;
    memset(ret_address, 0, sizeof *ret_address);
    return sockaddr_parse_host(host, (uint16_t)port, &ret_address->inet);
}

socklen_t sockaddr_length(const struct sockaddr *address)
{
    switch (address->sa_family) {
    case AF_INET:
        return sizeof(struct sockaddr_in);
    case AF_INET6:
        return sizeof(struct sockaddr_in6);
    case AF_UNIX:
        return sizeof(struct sockaddr_un);
    default:
        return 0;
    }
}

uint16_t sockaddr_port(const struct sockaddr *address)
{
    switch (address->sa_family) {
    case AF_INET:
        return ntohs(((const struct sockaddr_in *)address)->sin_port);
    case AF_INET6:
        return ntohs(((const struct sockaddr_in6 *)address)->sin6_port);
    default:
        return 0;
    }
}

void sockaddr_set_port(struct sockaddr *address, uint16_t port)
{
    if (address->sa_family == AF_INET)
        ((struct sockaddr_in *)address)->sin_port = htons(port);
    else if (address->sa_family == AF_INET6)
        ((struct sockaddr_in6 *)address)->sin6_port = htons(port);
}

const char *sockaddr_format_host(const struct sockaddr *address, char *text)
{
    text[0] = '\0';
    switch (address->sa_family) {
    case AF_INET:
        inet_ntop(AF_INET, &((const struct sockaddr_in *)address)->sin_addr, text, SOCKADDR_TEXT_SIZE);
        break;
    case AF_INET6:
        inet_ntop(AF_INET6, &((const struct sockaddr_in6 *)address)->sin6_addr, text, SOCKADDR_TEXT_SIZE);
        break;
    case AF_UNIX:
        snprintf(text, SOCKADDR_TEXT_SIZE, UNIX_PREFIX "%.107s", ((const struct sockaddr_un *)address)->sun_path);
        break;
    default:
        snprintf(text, SOCKADDR_TEXT_SIZE, "none");
        break;
    }
    return text;
}

const char *sockaddr_format(const struct sockaddr *address, char *text)
{
    char host[SOCKADDR_TEXT_SIZE];

    sockaddr_format_host(address, host);
    if (address->sa_family == AF_INET)
        snprintf(text, SOCKADDR_TEXT_SIZE, "%.100s:%u", host, sockaddr_port(address));
    else if (address->sa_family == AF_INET6)
        snprintf(text, SOCKADDR_TEXT_SIZE, "[%.100s]:%u", host, sockaddr_port(address));
    else
        memcpy(text, host, sizeof host);
    return text;
}

bool sockaddr_equal(const struct sockaddr *a, const struct sockaddr *b)
{
    if (a->sa_family != b->sa_family)
        return false;
    switch (a->sa_family) {
    case AF_INET: {
        const struct sockaddr_in *left = (const void *)a, *right = (const void *)b;

        return left->sin_port == right->sin_port && left->sin_addr.s_addr == right->sin_addr.s_addr;
    }
    case AF_INET6: {
        const struct sockaddr_in6 *left = (const void *)a, *right = (const void *)b;

        return left->sin6_port == right->sin6_port &&
               memcmp(&left->sin6_addr, &right->sin6_addr, sizeof left->sin6_addr) == 0;
    }
    case AF_UNIX:
        return strcmp(((const struct sockaddr_un *)a)->sun_path, ((const struct sockaddr_un *)b)->sun_path) == 0;
    default:
        return true;
    }
}

bool sockaddr_is_any(const struct sockaddr *address)
{
    if (address->sa_family == AF_INET)
        return ((const struct sockaddr_in *)(const void *)address)->sin_addr.s_addr == htonl(INADDR_ANY);
    if (address->sa_family == AF_INET6)
        return IN6_IS_ADDR_UNSPECIFIED(&((const struct sockaddr_in6 *)(const void *)address)->sin6_addr);
    return false;
}

bool sockaddr_is_loopback(const struct sockaddr *address)
{
    if (address->sa_family == AF_INET)
        return ntohl(((const struct sockaddr_in *)address)->sin_addr.s_addr) >> 24 == 127;
    if (address->sa_family == AF_INET6)
        return IN6_IS_ADDR_LOOPBACK(&((const struct sockaddr_in6 *)address)->sin6_addr);
    return false;
}

/*
 * A socket address of the three families Outrigger speaks, by value: IPv4 and IPv6 in 28 bytes, unix by path.
 * Text forms: `10.0.0.1:80`, `[::1]:80`, `unix:/path`. All functions are pure.
 */
#pragma once

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

/* Longest text: `unix:` and a path of 107 bytes. */
#define SOCKADDR_TEXT_SIZE 128

/* An IPv4 or IPv6 address and port; family AF_UNSPEC means none. Small, so that a connection can hold several. */
union inet_address {
    sa_family_t family;
    struct sockaddr any;
    struct sockaddr_in in;
    struct sockaddr_in6 in6;
};

/* Any address that can be configured. */
union sockaddr_any {
    sa_family_t family;
    struct sockaddr any;
    union inet_address inet;
    struct sockaddr_in in;
    struct sockaddr_in6 in6;
    struct sockaddr_un un;
};

/*
 * Parses an address with its port or a `unix:` path. Names are not looked up.
 * Returns 0, or -EINVAL; then *ret_problem says in words what is wrong.
 */
int sockaddr_parse(const char *text, union sockaddr_any *ret_address, const char **ret_problem);

/* Parses an address without port (`10.0.0.1`, `::1`); the port is set to `port`. Returns 0 or -EINVAL. */
int sockaddr_parse_host(const char *text, uint16_t port, union inet_address *ret_address);

socklen_t sockaddr_length(const struct sockaddr *address);
uint16_t sockaddr_port(const struct sockaddr *address);
void sockaddr_set_port(struct sockaddr *address, uint16_t port);

/* `text` has SOCKADDR_TEXT_SIZE bytes; returns it. */
const char *sockaddr_format(const struct sockaddr *address, char *text);

/* As sockaddr_format() without the port. */
const char *sockaddr_format_host(const struct sockaddr *address, char *text);

/* Same family, address and port (or path). */
bool sockaddr_equal(const struct sockaddr *a, const struct sockaddr *b);

/* 0.0.0.0 or ::, whatever the port. */
bool sockaddr_is_any(const struct sockaddr *address);

/* 127.0.0.0/8 or ::1. */
bool sockaddr_is_loopback(const struct sockaddr *address);

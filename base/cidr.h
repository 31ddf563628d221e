/* An address block (`10.0.0.0/8`, `2001:db8::/32`; a bare address is a block of one). All functions are pure. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#define CIDR_TEXT_SIZE 64

struct cidr {
    sa_family_t family; /* AF_INET or AF_INET6 */
    uint8_t prefix;     /* bits: 0 to 32 or 128 */
    uint8_t bytes[16];  /* network order; the bits behind the prefix are zero */
};

/*
 * Returns 0, or -EINVAL; then *ret_problem says in words what is wrong. Bits behind the prefix are refused
 * (`10.1.2.3/8`), since such a block is nearly always a slip.
 */
int cidr_parse(const char *text, struct cidr *ret_cidr, const char **ret_problem);

/* The same, but bits behind the prefix are cleared, as iptables does it; *ret_cleared says whether there were any. */
int cidr_parse_network(const char *text, struct cidr *ret_cidr, bool *ret_cleared, const char **ret_problem);

/* Bytes of an address of this family: 4 or 16. */
unsigned cidr_address_length(const struct cidr *cidr);

/* Whether all of `inner` is in `outer`. */
bool cidr_within(const struct cidr *inner, const struct cidr *outer);
bool cidr_contains(const struct cidr *cidr, const struct sockaddr *address);
bool cidr_equal(const struct cidr *a, const struct cidr *b);

/* `text` has CIDR_TEXT_SIZE bytes; returns it. A block of one is written without prefix, as nft does. */
const char *cidr_format(const struct cidr *cidr, char *text);

#include "base/cidr.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/units.h"

unsigned cidr_address_length(const struct cidr *cidr)
{
    return cidr->family == AF_INET ? 4 : 16;
}

/* Returns whether there was any. */
static bool clear_bits_behind(struct cidr *cidr)
{
    bool any = false;

    for (unsigned bit = cidr->prefix; bit < cidr_address_length(cidr) * 8; bit++) {
        uint8_t mask = (uint8_t)(0x80 >> (bit % 8));

        any |= (cidr->bytes[bit / 8] & mask) != 0;
        cidr->bytes[bit / 8] &= (uint8_t)~mask;
    }
    return any;
}

int cidr_parse(const char *text, struct cidr *ret_cidr, const char **ret_problem)
{
    struct cidr cidr;
    bool cleared;
    int r = cidr_parse_network(text, &cidr, &cleared, ret_problem);

    if (r < 0)
        return r;
    if (cleared) {
        *ret_problem = "the address has bits set behind its prefix";
        return -EINVAL;
    }
    *ret_cidr = cidr;
    return 0;
}

int cidr_parse_network(const char *text, struct cidr *ret_cidr, bool *ret_cleared, const char **ret_problem)
{
    struct cidr cidr = { 0 };
    char host[INET6_ADDRSTRLEN];
    const char *slash = strchr(text, '/');
    size_t length = slash ? (size_t)(slash - text) : strlen(text);
    uint64_t prefix;

    *ret_problem = "not an address block; write ADDRESS or ADDRESS/PREFIX";
    if (length >= sizeof host)
        return -EINVAL;
    memcpy(host, text, length);
    host[length] = '\0';
    if (inet_pton(AF_INET, host, cidr.bytes) == 1)
        cidr.family = AF_INET;
    else if (inet_pton(AF_INET6, host, cidr.bytes) == 1)
        cidr.family = AF_INET6;
    else
        return -EINVAL;

    prefix = cidr_address_length(&cidr) * 8;
    if (slash) {
        uint64_t longest = prefix;

        if (units_parse_number(slash + 1, &prefix) < 0 || prefix > longest) {
            *ret_problem = longest == 32 ? "the prefix of an IPv4 block is a number from 0 to 32"
                                         : "the prefix of an IPv6 block is a number from 0 to 128";
            return -EINVAL;
        }
    }
    cidr.prefix = (uint8_t)prefix;
    *ret_cleared = clear_bits_behind(&cidr);
    *ret_cidr = cidr;
    return 0;
}

bool cidr_contains(const struct cidr *cidr, const struct sockaddr *address)
{
    const uint8_t *bytes;
    unsigned whole = cidr->prefix / 8, rest = cidr->prefix % 8;

    if (address->sa_family != cidr->family)
        return false;
    if (cidr->family == AF_INET)
        bytes = (const uint8_t *)&((const struct sockaddr_in *)address)->sin_addr;
    else
        bytes = ((const struct sockaddr_in6 *)address)->sin6_addr.s6_addr;
    if (memcmp(bytes, cidr->bytes, whole) != 0)
        return false;
    return rest == 0 || ((bytes[whole] ^ cidr->bytes[whole]) >> (8 - rest)) == 0;
}

bool cidr_within(const struct cidr *inner, const struct cidr *outer)
{
    struct cidr network = *inner;

    if (inner->family != outer->family || inner->prefix < outer->prefix)
        return false;
    network.prefix = outer->prefix;
    clear_bits_behind(&network);
    return cidr_equal(&network, outer);
}

bool cidr_equal(const struct cidr *a, const struct cidr *b)
{
    return a->family == b->family && a->prefix == b->prefix && memcmp(a->bytes, b->bytes, sizeof a->bytes) == 0;
}

const char *cidr_format(const struct cidr *cidr, char *text)
{
    char host[INET6_ADDRSTRLEN] = "";

    inet_ntop(cidr->family, cidr->bytes, host, sizeof host);
    if (cidr->prefix == cidr_address_length(cidr) * 8)
        snprintf(text, CIDR_TEXT_SIZE, "%s", host);
    else
        snprintf(text, CIDR_TEXT_SIZE, "%s/%u", host, cidr->prefix);
    return text;
}

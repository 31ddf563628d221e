#include "proxy/upstream/route.h"

#include <netinet/in.h>
#include <string.h>

#include "base/sockaddr.h"

/* Rules of one family and prefix length stand together, sorted by address; longer prefixes come first. */
struct span {
    const struct match_rule *begin, *end;
};

/* The first rule behind those with the family and prefix of `begin`. */
static const struct match_rule *end_of_prefix(const struct match_rule *begin, const struct match_rule *end)
{
    const struct match_rule *low = begin + 1, *high = end;

    while (low < high) {
        const struct match_rule *middle = low + (high - low) / 2;

        if (middle->block.family == begin->block.family && middle->block.prefix == begin->block.prefix)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void mask(const struct sockaddr *address, unsigned prefix, uint8_t *ret_bytes)
{
    size_t length = address->sa_family == AF_INET ? 4 : 16;
    const void *bytes = address->sa_family == AF_INET
                            ? (const void *)&((const struct sockaddr_in *)address)->sin_addr
                            : (const void *)&((const struct sockaddr_in6 *)address)->sin6_addr;

    memset(ret_bytes, 0, 16);
    memcpy(ret_bytes, bytes, length);
    for (size_t i = 0; i < length; i++) {
        unsigned kept = prefix > i * 8 ? prefix - (unsigned)i * 8 : 0;

        if (kept < 8)
            ret_bytes[i] &= (uint8_t)(0xff00 >> kept);
    }
}

/* The first rule of the span whose block is not before `bytes`. */
static const struct match_rule *lower_bound(struct span span, const uint8_t *bytes)
{
    while (span.begin < span.end) {
        const struct match_rule *middle = span.begin + (span.end - span.begin) / 2;

        if (memcmp(middle->block.bytes, bytes, sizeof middle->block.bytes) < 0)
            span.begin = middle + 1;
        else
            span.end = middle;
    }
    return span.begin;
}

const struct match_rule *route_find(const struct config *config, const struct sockaddr *destination)
{
    const struct match_rule *end = config->match_rules.items + config->match_rules.count;
    struct span span = { .end = config->match_rules.items };
    uint16_t port = sockaddr_port(destination);
    uint8_t bytes[16];

    for (span.begin = span.end; span.begin < end; span.begin = span.end) {
        span.end = end_of_prefix(span.begin, end);
        if (span.begin->block.family != destination->sa_family)
            continue;
        mask(destination, span.begin->block.prefix, bytes);
        /* Rules of one block are sorted by the width of their ports. */
        for (const struct match_rule *rule = lower_bound(span, bytes);
             rule < span.end && memcmp(rule->block.bytes, bytes, sizeof bytes) == 0; rule++) {
            if (port_range_contains(rule->ports, port))
                return rule;
        }
    }
    return NULL;
}

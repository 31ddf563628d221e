#include "base/port_range.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/units.h"

static bool parse_port(const char *text, uint16_t *ret_port)
{
    uint64_t port;

    if (units_parse_number(text, &port) < 0 || port < 1 || port > 65535)
        return false;
    *ret_port = (uint16_t)port;
    return true;
}

int port_range_parse(const char *text, struct port_range *ret_range, const char **ret_problem)
{
    struct port_range range;
    const char *dash = strchr(text, '-');
    char first[8];

    *ret_problem = "a port is a number from 1 to 65535, a range is FIRST-LAST";
    if (!dash) {
        if (!parse_port(text, &range.first))
            return -EINVAL;
        range.last = range.first;
    } else {
        if ((size_t)(dash - text) >= sizeof first)
            return -EINVAL;
        memcpy(first, text, (size_t)(dash - text));
        first[dash - text] = '\0';
        if (!parse_port(first, &range.first) || !parse_port(dash + 1, &range.last))
            return -EINVAL;
        if (range.last < range.first) {
            *ret_problem = "the range runs backwards";
            return -EINVAL;
        }
    }
    *ret_range = range;
    return 0;
}

bool port_range_contains(struct port_range range, uint16_t port)
{
    return port >= range.first && port <= range.last;
}

const char *port_range_format(struct port_range range, char *text)
{
    if (range.first == range.last)
        snprintf(text, PORT_RANGE_TEXT_SIZE, "%u", range.first);
    else
        snprintf(text, PORT_RANGE_TEXT_SIZE, "%u-%u", range.first, range.last);
    return text;
}

/* What addresses, blocks, ports and units take, they print as something that they take as the same. */
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "base/cidr.h"
#include "base/port_range.h"
#include "base/sockaddr.h"
#include "base/units.h"

static void check(bool same)
{
    if (!same)
        abort();
}

static void check_sockaddr(const char *text)
{
    union sockaddr_any address, again;
    char printed[SOCKADDR_TEXT_SIZE];
    const char *problem;

    if (sockaddr_parse(text, &address, &problem) < 0)
        return;
    check(sockaddr_parse(sockaddr_format(&address.any, printed), &again, &problem) == 0);
    check(sockaddr_equal(&address.any, &again.any));
}

static void check_cidr(const char *text)
{
    char printed[CIDR_TEXT_SIZE];
    struct cidr cidr, again;
    const char *problem;

    if (cidr_parse(text, &cidr, &problem) < 0)
        return;
    check(cidr_parse(cidr_format(&cidr, printed), &again, &problem) == 0 && cidr_equal(&cidr, &again));
}

static void check_ports(const char *text)
{
    char printed[PORT_RANGE_TEXT_SIZE];
    struct port_range range, again;
    const char *problem;

    if (port_range_parse(text, &range, &problem) < 0)
        return;
    check(port_range_parse(port_range_format(range, printed), &again, &problem) == 0 && again.first == range.first &&
          again.last == range.last);
}

static void check_units(const char *text)
{
    char printed[UNITS_TEXT_SIZE];
    uint64_t value, again;

    if (units_parse_duration(text, &value) == 0) {
        units_format_duration(value, printed);
        check(units_parse_duration(printed, &again) == 0 && again == value);
    }
    if (units_parse_size(text, &value) == 0) {
        units_format_size(value, printed);
        check(units_parse_size(printed, &again) == 0 && again == value);
    }
    if (units_parse_percent(text, &value) == 0)
        check(value <= 10000);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    char *text = malloc(length + 1);

    memcpy(text, bytes, length);
    text[length] = '\0';
    check_sockaddr(text);
    check_cidr(text);
    check_ports(text);
    check_units(text);
    free(text);
    return 0;
}

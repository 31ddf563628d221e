/* Socket addresses, blocks and port ranges: text forms in both directions, and what contains what. */
#include "tests/unit/unit.h"

#include <errno.h>

#include "base/cidr.h"
#include "base/interception.h"
#include "base/port_range.h"
#include "base/sockaddr.h"

static void test_sockaddr_parse_round_trip_is_exact(void **state)
{
    static const char *const texts[] = { "10.0.0.1:80", "[::1]:443", "[2001:db8::2]:65535", "unix:/run/app.sock" };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        union sockaddr_any address;
        char text[SOCKADDR_TEXT_SIZE];
        const char *problem;

        assert_int_equal(sockaddr_parse(texts[i], &address, &problem), 0);
        assert_string_equal(sockaddr_format(&address.any, text), texts[i]);
    }
}

static void test_sockaddr_parse_refuses_with_a_reason(void **state)
{
    static const char *const texts[] = {
        "",        "10.0.0.1",      "10.0.0.1:0", "10.0.0.1:65536", ":80",           "::1:80", "[::1]",
        "[::1:80", "[10.0.0.1]:80", "name:80",    "10.0.0.1:80 ",   "unix:relative", "[]:80",  "1.2.3.4.5:80"
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        union sockaddr_any address;
        const char *problem = NULL;

        if (sockaddr_parse(texts[i], &address, &problem) != -EINVAL || !problem)
            fail_msg("\"%s\" was taken", texts[i]);
    }
}

static void test_cidr_contains_its_own_addresses_and_no_other(void **state)
{
    static const struct {
        const char *block, *host;
        bool inside;
    } rows[] = {
        { "10.0.0.0/8", "10.255.255.255", true },
        { "10.0.0.0/8", "11.0.0.0", false },
        { "10.0.0.0/13", "10.7.255.255", true },
        { "10.0.0.0/13", "10.8.0.0", false },
        { "0.0.0.0/0", "255.255.255.255", true },
        { "0.0.0.0/0", "::1", false },
        { "10.1.2.3", "10.1.2.3", true },
        { "10.1.2.3", "10.1.2.2", false },
        { "2001:db8::/33", "2001:db8:7fff::1", true },
        { "2001:db8::/33", "2001:db8:8000::", false },
        { "::/0", "::1", true },
        { "::/0", "127.0.0.1", false },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        union inet_address address;
        const char *problem;
        struct cidr cidr;

        assert_int_equal(cidr_parse(rows[i].block, &cidr, &problem), 0);
        assert_int_equal(sockaddr_parse_host(rows[i].host, 1, &address), 0);
        if (cidr_contains(&cidr, &address.any) != rows[i].inside)
            fail_msg("%s in %s", rows[i].host, rows[i].block);
    }
}

static void test_cidr_parse_refuses_bits_behind_the_prefix(void **state)
{
    static const char *const texts[] = { "10.0.0.1/8", "10.0.0.0/33", "::1/64", "::/129",
                                         "10.0.0.0/",  "10.0.0.0/-1", "x",      "" };
    const char *problem;
    struct cidr cidr;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
        assert_int_equal(cidr_parse(texts[i], &cidr, &problem), -EINVAL);
}

static void test_port_range_parse_takes_ports_and_ranges(void **state)
{
    static const char *const good[] = { "1", "65535", "5000-5010", "1-65535" };
    static const char *const bad[] = { "0", "65536", "10-5", "-5", "5-", "a", "", "1-2-3", "99999999999-1" };
    char text[PORT_RANGE_TEXT_SIZE];
    struct port_range range;
    const char *problem;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
        assert_int_equal(port_range_parse(good[i], &range, &problem), 0);
        assert_string_equal(port_range_format(range, text), good[i]);
    }
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_int_equal(port_range_parse(bad[i], &range, &problem), -EINVAL);
}

static void test_interception_addresses_are_those_of_the_header(void **state)
{
    static const char *const probes[] = { INTERCEPTION_PROBE_IPV4, INTERCEPTION_PROBE_IPV6 };
    static const char *const sources[] = { INTERCEPTION_APP_SOURCE_IPV4, INTERCEPTION_APP_SOURCE_IPV6 };
    union inet_address address;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(probes); i++) {
        assert_int_equal(sockaddr_parse_host(probes[i], 80, &address), 0);
        assert_true(interception_is_probe_address(&address.any));
        assert_false(interception_is_app_source(&address.any));
        assert_int_equal(sockaddr_parse_host(sources[i], 80, &address), 0);
        assert_true(interception_is_app_source(&address.any));
        assert_false(interception_is_probe_address(&address.any));
    }
    assert_int_equal(sockaddr_parse_host("127.0.0.1", 80, &address), 0);
    assert_false(interception_is_app_source(&address.any));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sockaddr_parse_round_trip_is_exact),
        cmocka_unit_test(test_sockaddr_parse_refuses_with_a_reason),
        cmocka_unit_test(test_cidr_contains_its_own_addresses_and_no_other),
        cmocka_unit_test(test_cidr_parse_refuses_bits_behind_the_prefix),
        cmocka_unit_test(test_interception_addresses_are_those_of_the_header),
        cmocka_unit_test(test_port_range_parse_takes_ports_and_ranges),
    };

    return RUN_TESTS(tests);
}

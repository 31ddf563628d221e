/* PROXY headers of both versions: what is written is read again, what is cut is awaited, what is wrong is refused. */
#include "tests/unit/unit.h"

#include <string.h>

#include "base/macros.h"
#include "proxy/net/proxy_header.h"

static union inet_address address(const char *host, uint16_t port)
{
    union inet_address parsed;

    assert_int_equal(sockaddr_parse_host(host, port, &parsed), 0);
    return parsed;
}

static void assert_same(const union inet_address *one, const union inet_address *other)
{
    assert_true(sockaddr_equal(&one->any, &other->any));
}

static void test_proxy_header_write_is_read_again(void **state)
{
    static const char *const pairs[][2] = { { "192.0.2.1", "203.0.113.9" }, { "2001:db8::1", "2001:db8:ffff::2" } };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(pairs); i++) {
        for (unsigned version = 1; version <= 2; version++) {
            union inet_address source = address(pairs[i][0], 65535), destination = address(pairs[i][1], 1);
            uint8_t bytes[PROXY_HEADER_SIZE + 1] = { 0 };
            size_t length = proxy_header_write(version, &source, &destination, bytes);
            struct proxy_header header;

            assert_true(length <= PROXY_HEADER_SIZE);
            for (size_t part = 0; part < length; part++)
                assert_int_equal(proxy_header_parse(bytes, part, &header), PROXY_HEADER_INCOMPLETE);
            assert_int_equal(proxy_header_parse(bytes, length + 1, &header), PROXY_HEADER_COMPLETE);
            assert_int_equal(header.length, length);
            assert_same(&header.source, &source);
            assert_same(&header.destination, &destination);
        }
    }
}

static void test_proxy_header_write_of_nobody_says_so(void **state)
{
    const union inet_address nobody = { 0 }, somebody = address("192.0.2.1", 1), other = address("::1", 1);
    uint8_t bytes[PROXY_HEADER_SIZE];
    struct proxy_header header;

    (void)state;
    assert_int_equal(proxy_header_write(1, &nobody, &nobody, bytes), strlen("PROXY UNKNOWN\r\n"));
    assert_memory_equal(bytes, "PROXY UNKNOWN\r\n", strlen("PROXY UNKNOWN\r\n"));
    assert_int_equal(proxy_header_write(2, &somebody, &other, bytes), 16);
    assert_int_equal(bytes[12], 0x20);
    assert_int_equal(proxy_header_parse(bytes, 16, &header), PROXY_HEADER_COMPLETE);
    assert_int_equal(header.source.family, AF_UNSPEC);
}

static enum proxy_header_result parse(const char *text)
{
    struct proxy_header header;

    return proxy_header_parse((const uint8_t *)text, strlen(text), &header);
}

static void test_proxy_header_parse_refuses_what_is_no_v1_header(void **state)
{
    static const char *const wrong[] = {
        "GET / HTTP/1.1\r\n",
        "PROXZ",
        "PROXY TCP4 1.2.3.4 5.6.7.8 1 2\n",
        "PROXY TCP4 1.2.3.4 5.6.7.8 1\r\n",
        "PROXY TCP4 1.2.3.4 5.6.7.8 1 2 3\r\n",
        "PROXY TCP4  1.2.3.4 5.6.7.8 1 2\r\n",
        "PROXY TCP4 1.2.3 5.6.7.8 1 2\r\n",
        "PROXY TCP4 ::1 ::2 1 2\r\n",
        "PROXY TCP6 1.2.3.4 5.6.7.8 1 2\r\n",
        "PROXY TCP4 1.2.3.4 5.6.7.8 1 65536\r\n",
        "PROXY TCP4 1.2.3.4 5.6.7.8 01 2\r\n",
        "PROXY TCP4 1.2.3.4 5.6.7.8 -1 2\r\n",
        "PROXY UDP4 1.2.3.4 5.6.7.8 1 2\r\n",
        "PROXY\r\n",
        "PROXY \r\n",
    };

    char endless[108] = "PROXY UNKNOWN ";

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(wrong); i++)
        assert_int_equal(parse(wrong[i]), PROXY_HEADER_INVALID);
    memset(endless + strlen(endless), 'x', 106 - strlen(endless));
    assert_int_equal(parse(endless), PROXY_HEADER_INCOMPLETE);
    endless[106] = 'x'; /* the 107th byte would have to be its end */
    assert_int_equal(parse(endless), PROXY_HEADER_INVALID);
    assert_int_equal(parse("PROXY UNKNOWN ignored to the end of the line, all of it\r\n"), PROXY_HEADER_COMPLETE);
    assert_int_equal(parse("PROXY TCP4 1.2.3.4 5.6.7.8 0 65535\r\nGET"), PROXY_HEADER_COMPLETE);
}

static void test_proxy_header_parse_of_v2_bounds_and_skips(void **state)
{
    uint8_t bytes[PROXY_HEADER_MOST_BYTES + 100] = { 0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51,
                                                     0x55, 0x49, 0x54, 0x0a, 0x21, 0x11, 0,    12 };
    struct proxy_header header;

    (void)state;
    assert_int_equal(proxy_header_parse(bytes, 28, &header), PROXY_HEADER_COMPLETE);
    bytes[15] = 11; /* too short for its addresses */
    assert_int_equal(proxy_header_parse(bytes, sizeof bytes, &header), PROXY_HEADER_INVALID);
    bytes[15] = 12 + 7; /* with extensions */
    assert_int_equal(proxy_header_parse(bytes, sizeof bytes, &header), PROXY_HEADER_COMPLETE);
    assert_int_equal(header.length, 16 + 12 + 7);
    bytes[14] = 0xff; /* longer than what is accepted */
    assert_int_equal(proxy_header_parse(bytes, sizeof bytes, &header), PROXY_HEADER_INVALID);
    bytes[14] = 0;
    bytes[13] = 0x31; /* unix sockets: nothing is known of them */
    assert_int_equal(proxy_header_parse(bytes, sizeof bytes, &header), PROXY_HEADER_COMPLETE);
    assert_int_equal(header.source.family, AF_UNSPEC);
    bytes[13] = 0x11;
    bytes[12] = 0x22; /* no such command */
    assert_int_equal(proxy_header_parse(bytes, sizeof bytes, &header), PROXY_HEADER_INVALID);
    bytes[12] = 0x11; /* no such version */
    assert_int_equal(proxy_header_parse(bytes, sizeof bytes, &header), PROXY_HEADER_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_proxy_header_write_is_read_again),
        cmocka_unit_test(test_proxy_header_write_of_nobody_says_so),
        cmocka_unit_test(test_proxy_header_parse_refuses_what_is_no_v1_header),
        cmocka_unit_test(test_proxy_header_parse_of_v2_bounds_and_skips),
    };

    return RUN_TESTS(tests);
}

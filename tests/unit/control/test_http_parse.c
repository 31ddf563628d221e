/* The head of a request: what is understood, and that everything else is refused with its status. */
#include "tests/unit/unit.h"

#include <string.h>

#include "control/http_parse.h"

static int parse(const char *text, struct http_head *head)
{
    static char copy[HTTP_MOST_HEAD_BYTES + 1];

    strncpy(copy, text, sizeof copy - 1);
    return http_parse_head(copy, HTTP_MOST_BODY_BYTES, head);
}

static void test_http_parse_head_takes_what_clients_send(void **state)
{
    struct http_head head;

    (void)state;
    assert_int_equal(
        parse("GET /status?x=1 HTTP/1.1\r\nHost: a\r\nAccept: text/plain\r\nContent-Length: 12\r\n\r\n", &head), 0);
    assert_string_equal(head.method, "GET");
    assert_string_equal(head.path, "/status");
    assert_true(head.wants_text && head.keep_alive);
    assert_int_equal(head.body_length, 12);
    assert_int_equal(parse("POST / HTTP/1.1\r\nConnection: Close\r\n\r\n", &head), 0);
    assert_false(head.keep_alive || head.wants_text);
    assert_int_equal(parse("GET / HTTP/1.0\r\n\r\n", &head), 0);
    assert_false(head.keep_alive);
}

static void test_http_parse_head_refuses_what_is_not_http(void **state)
{
    static const struct {
        const char *text;
        int status;
    } rows[] = {
        { "\r\n\r\n", 400 },
        { "GET\r\n\r\n", 400 },
        { "GET /\r\n\r\n", 400 },
        { " / HTTP/1.1\r\n\r\n", 400 },
        { "GET / HTTP/2\r\n\r\n", 400 },
        { "GET http://x/ HTTP/1.1\r\n\r\n", 400 },
        { "GET / HTTP/1.1\r\nno colon\r\n\r\n", 400 },
        { "GET / HTTP/1.1\r\n: x\r\n\r\n", 400 },
        { "GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400 },
        { "POST / HTTP/1.1\r\nContent-Length : 5\r\n\r\n", 400 }, /* or its body would be another request */
        { "POST / HTTP/1.1\r\n Content-Length: 5\r\n\r\n", 400 },
        { "GET / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400 },
        { "GET / HTTP/1.1\r\nContent-Length: 65537\r\n\r\n", 413 },
        { "GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", 501 },
    };
    struct http_head head;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        assert_int_equal(parse(rows[i].text, &head), rows[i].status);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_http_parse_head_takes_what_clients_send),
        cmocka_unit_test(test_http_parse_head_refuses_what_is_not_http),
    };

    return RUN_TESTS(tests);
}

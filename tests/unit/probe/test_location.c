/* A redirect is followed at the app's own address, whatever way it is written, and never away from it. */
#include "tests/unit/unit.h"

#include <stdio.h>
#include <string.h>

#include "base/macros.h"
#include "proxy/probe/location.h"

static void test_location_follow_goes_where_the_reference_leads(void **state)
{
    static const struct {
        const char *host, *path, *reference;
        enum location_verdict verdict;
        const char *leads; /* scheme, port and path; NULL: nothing has changed */
    } cases[] = {
        { "10.0.0.1", "/", "/login", LOCATION_SAME_AUTHORITY, "http 80 /login" },
        { "10.0.0.1", "/a/b?c/d", "e", LOCATION_SAME_AUTHORITY, "http 80 /a/e" },
        { "10.0.0.1", "/a/b?c", "?d=/", LOCATION_SAME_AUTHORITY, "http 80 /a/b?d=/" },
        { "10.0.0.1", "/a/b", "#top", LOCATION_SAME_AUTHORITY, "http 80 /a/b" },
        { "10.0.0.1", "/a/b?c=1", "#top", LOCATION_SAME_AUTHORITY, "http 80 /a/b?c=1" },
        { "10.0.0.1", "/a/b/c", "../x", LOCATION_SAME_AUTHORITY, "http 80 /a/x" },
        { "10.0.0.1", "/a/b/c", "../../../x/..", LOCATION_SAME_AUTHORITY, "http 80 /" },
        { "10.0.0.1", "/a/b", "./?..", LOCATION_SAME_AUTHORITY, "http 80 /a/?.." },
        { "10.0.0.1", "/a", "/b/./c/../.d/..e/.", LOCATION_SAME_AUTHORITY, "http 80 /b/.d/..e/" },
        { "10.0.0.1", "/", "/a b?c d\xc3\xa9\\%20", LOCATION_SAME_AUTHORITY, "http 80 /a%20b?c%20d%C3%A9%5C%20" },
        { "10.0.0.1", "/a", "1a:b", LOCATION_SAME_AUTHORITY, "http 80 /1a:b" },
        { "10.0.0.1", "/a/b", "/x?y#z", LOCATION_SAME_AUTHORITY, "http 80 /x?y" },
        { "10.0.0.1", "/a", "/x:y", LOCATION_SAME_AUTHORITY, "http 80 /x:y" },
        { "10.0.0.1", "/", "http://10.0.0.1/x", LOCATION_SAME_HOST, "http 80 /x" },
        { "10.0.0.1", "/", "HTTPS://10.0.0.1/x?y=1#z", LOCATION_SAME_HOST, "https 443 /x?y=1" },
        { "10.0.0.1", "/", "https://10.0.0.1:8443", LOCATION_SAME_HOST, "https 8443 /" },
        { "10.0.0.1", "/", "//10.0.0.1:81/x", LOCATION_SAME_HOST, "http 81 /x" },
        { "[fd00::1]", "/", "http://[FD00::1]:81/x", LOCATION_SAME_HOST, "http 81 /x" },
        { "[fd00::1]", "/", "https://[fd00::1]/", LOCATION_SAME_HOST, "https 443 /" },
        { "10.0.0.1", "/", "http://10.0.0.2/x", LOCATION_ELSEWHERE, NULL },
        { "10.0.0.1", "/", "//10.0.0.2/x", LOCATION_ELSEWHERE, NULL },
        { "10.0.0.1", "/", "http://10.0.0.1.example/x", LOCATION_ELSEWHERE, NULL },
        { "10.0.0.1", "/", "http://10.0.0.1@10.0.0.2/x", LOCATION_ELSEWHERE, NULL },
        { "10.0.0.1", "/", "http://10.0.0.2/@10.0.0.1/x", LOCATION_ELSEWHERE, NULL },
        { "10.0.0.1", "/", "http://10.0.0.1/@10.0.0.2/x", LOCATION_SAME_HOST, "http 80 /@10.0.0.2/x" },
        { "10.0.0.1", "/", "http://10.0.0.1?x=/", LOCATION_SAME_HOST, "http 80 /?x=/" },
        { "10.0.0.1", "/", "mailto:somebody", LOCATION_ELSEWHERE, NULL },
        { "10.0.0.1", "/", "ftp://10.0.0.1/", LOCATION_ELSEWHERE, NULL },
        { "10.0.0.1", "/", "http://10.0.0.1:65536/", LOCATION_BAD, NULL },
        { "10.0.0.1", "/", "http://10.0.0.1:x/", LOCATION_BAD, NULL },
        { "10.0.0.1", "/", "http:/x", LOCATION_ELSEWHERE, NULL },
        { "10.0.0.1", "/", "http:x", LOCATION_ELSEWHERE, NULL },
        { "10.0.0.1", "/", "http://shop.example:/x", LOCATION_ELSEWHERE, NULL },
        { "10.0.0.1", "/", "http://10.0.0.1:/x", LOCATION_SAME_HOST, "http 80 /x" },
        { "10.0.0.1", "/", "https://idp.example/authorize?scope=openid profile", LOCATION_ELSEWHERE, NULL },
        { "10.0.0.1", "/", "mailto:a b", LOCATION_ELSEWHERE, NULL },
        { "10.0.0.1", "/", "http://", LOCATION_BAD, NULL },
        { "10.0.0.1", "/", "http://[fd00::1/", LOCATION_BAD, NULL },
        { "10.0.0.1", "/", "/a\tb", LOCATION_BAD, NULL },
        { "10.0.0.1", "/", "/a\x7f", LOCATION_BAD, NULL },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct location location = { .port = 80 };
        char leads[LOCATION_MOST_PATH + 32], expected[256];

        snprintf(location.host, sizeof location.host, "%s", cases[i].host);
        snprintf(location.path, sizeof location.path, "%s", cases[i].path);
        snprintf(expected, sizeof expected, "http 80 %s", cases[i].path);
        if (location_follow(&location, cases[i].reference) != cases[i].verdict)
            fail_msg("%s", cases[i].reference);
        snprintf(leads, sizeof leads, "%s %u %s", location.is_tls ? "https" : "http", location.port, location.path);
        assert_string_equal(leads, cases[i].leads ? cases[i].leads : expected);
        assert_string_equal(location.host, cases[i].host);
    }
}

static void test_location_follow_refuses_what_is_too_long(void **state)
{
    struct location location = { .port = 80, .host = "10.0.0.1", .path = "/directory/" };
    char reference[LOCATION_MOST_PATH + 64];

    (void)state;
    memset(reference, 'x', sizeof reference);
    reference[LOCATION_MOST_PATH - strlen("/directory/")] = '\0';
    assert_int_equal(location_follow(&location, reference), LOCATION_SAME_AUTHORITY);
    assert_int_equal(strlen(location.path), LOCATION_MOST_PATH);
    reference[LOCATION_MOST_PATH - strlen("/directory/")] = 'x';
    reference[LOCATION_MOST_PATH - strlen("/directory/") + 1] = '\0';
    assert_int_equal(location_follow(&location, reference), LOCATION_BAD);
    assert_int_equal(strlen(location.path), LOCATION_MOST_PATH);
    memset(reference, 'x', sizeof reference);
    memcpy(reference, "//10.0.0.1/", 11);
    reference[10 + LOCATION_MOST_PATH] = '\0';
    assert_int_equal(location_follow(&location, reference), LOCATION_SAME_HOST);
    reference[10 + LOCATION_MOST_PATH] = 'x';
    reference[11 + LOCATION_MOST_PATH] = '\0';
    assert_int_equal(location_follow(&location, reference), LOCATION_BAD);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_location_follow_goes_where_the_reference_leads),
        cmocka_unit_test(test_location_follow_refuses_what_is_too_long),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPIFFE IDs are taken exactly as the standard has them, and compared literally; a star is one whole segment. */
#include "tests/unit/unit.h"

#include <string.h>

#include "base/macros.h"
#include "proxy/tls/spiffe_id.h"

static struct spiffe_id parsed(const char *text)
{
    struct spiffe_id id;
    const char *problem;

    if (spiffe_id_parse(text, strlen(text), &id, &problem) < 0)
        fail_msg("%s: %s", text, problem);
    return id;
}

static void test_spiffe_id_parse_takes_what_the_standard_allows(void **state)
{
    static const char *const valid[] = { "spiffe://cluster.local/ns/shop/sa/web",
                                         "spiffe://a",
                                         "spiffe://a_b-c.9/X/Y.z",
                                         "spiffe://example.com/9eebccd2-12bf-40a6-b262-65fe0487d453",
                                         "spiffe://a/...",
                                         "spiffe://a/.hidden/..x" };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(valid); i++)
        assert_int_equal(parsed(valid[i]).length, strlen(valid[i]));
    assert_false(spiffe_id_has_path(&(struct spiffe_id){ "spiffe://a", 10, 10 }));
}

static void test_spiffe_id_parse_refuses_everything_else(void **state)
{
    static const char *const wrong[] = {
        "",
        "spiffe:/a/b",
        "spiffe://",
        "spiffe:///b",
        "Spiffe://a/b",
        "https://a/b",
        "spiffe://A/b",
        "spiffe://a:8080/b",
        "spiffe://user@a/b",
        "spiffe://[::1]/b",
        "spiffe://a/",
        "spiffe://a/b/",
        "spiffe://a//b",
        "spiffe://a/./b",
        "spiffe://a/../b",
        "spiffe://a/b/..",
        "spiffe://a/b?c",
        "spiffe://a/b#c",
        "spiffe://a?b",
        "spiffe://a/%62",
        "spiffe://a/b c",
        "spiffe://a/b\tc",
        "spiffe://a/*",
        "spiffe://a/\xc3\xa9",
        "spiffe://\xc3\xa9/b",
        " spiffe://a/b",
        "spiffe://a/b ",
    };
    struct spiffe_id id;
    const char *problem;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
        problem = NULL;
        if (spiffe_id_parse(wrong[i], strlen(wrong[i]), &id, &problem) == 0)
            fail_msg("%s was taken", wrong[i]);
        assert_non_null(problem);
    }
    assert_int_not_equal(spiffe_id_parse("spiffe://a/b\0c", 14, &id, &problem), 0);
}

static void test_spiffe_id_parse_stops_at_the_longest(void **state)
{
    char text[SPIFFE_ID_MOST_BYTES + 2], domain[TRUST_DOMAIN_MOST_BYTES + 20];
    struct spiffe_id id;
    const char *problem;

    (void)state;
    memset(text, 'a', sizeof text);
    memcpy(text, "spiffe://d/", 11);
    assert_int_equal(spiffe_id_parse(text, SPIFFE_ID_MOST_BYTES, &id, &problem), 0);
    assert_int_not_equal(spiffe_id_parse(text, SPIFFE_ID_MOST_BYTES + 1, &id, &problem), 0);
    memset(domain, 'a', sizeof domain);
    memcpy(domain, "spiffe://", 9);
    assert_int_equal(spiffe_id_parse(domain, 9 + TRUST_DOMAIN_MOST_BYTES, &id, &problem), 0);
    assert_int_not_equal(spiffe_id_parse(domain, 9 + TRUST_DOMAIN_MOST_BYTES + 1, &id, &problem), 0);
}

static void test_spiffe_id_equals_is_literal(void **state)
{
    struct spiffe_id one = parsed("spiffe://a/b"), same = parsed("spiffe://a/b"), longer = parsed("spiffe://a/bb"),
                     other = parsed("spiffe://a/B"), none = { 0 };

    (void)state;
    assert_true(spiffe_id_equals(&one, &same));
    assert_false(spiffe_id_equals(&one, &longer));
    assert_false(spiffe_id_equals(&one, &other));
    assert_false(spiffe_id_equals(&none, &none)); /* nobody is nobody's equal */
}

static void test_spiffe_id_is_in_its_whole_trust_domain(void **state)
{
    struct spiffe_id id = parsed("spiffe://cluster.local/x"), none = { 0 };

    (void)state;
    assert_true(spiffe_id_is_in(&id, "cluster.local"));
    assert_false(spiffe_id_is_in(&id, "cluster.loca"));
    assert_false(spiffe_id_is_in(&id, "cluster.local2"));
    assert_false(spiffe_id_is_in(&id, ""));
    assert_false(spiffe_id_is_in(&none, ""));
}

static bool matches(const char *pattern_text, const char *id_text)
{
    struct spiffe_id pattern, id = parsed(id_text);
    const char *problem;

    assert_int_equal(spiffe_pattern_parse(pattern_text, strlen(pattern_text), &pattern, &problem), 0);
    return spiffe_pattern_matches(&pattern, &id);
}

static void test_spiffe_pattern_matches_one_segment_for_a_star(void **state)
{
    struct spiffe_id pattern, none = { 0 };
    const char *problem;

    (void)state;
    assert_true(matches("spiffe://c/ns/shop/sa/*", "spiffe://c/ns/shop/sa/web"));
    assert_false(matches("spiffe://c/ns/shop/sa/*", "spiffe://c/ns/shop/sa/web/x"));
    assert_false(matches("spiffe://c/ns/shop/sa/*", "spiffe://c/ns/shop/sa"));
    assert_false(matches("spiffe://c/ns/shop/sa/*", "spiffe://c/ns/shop2/sa/web"));
    assert_false(matches("spiffe://c/ns/shop/sa/*", "spiffe://d/ns/shop/sa/web"));
    assert_true(matches("spiffe://c/ns/*/sa/*", "spiffe://c/ns/a/sa/b"));
    assert_false(matches("spiffe://c/*", "spiffe://c"));
    assert_true(matches("spiffe://c/a", "spiffe://c/a"));
    assert_false(matches("spiffe://c/a", "spiffe://c/ab"));
    assert_false(matches("spiffe://c/ab", "spiffe://c/a"));
    assert_false(matches("spiffe://c", "spiffe://c/a"));
    assert_int_equal(spiffe_pattern_parse("spiffe://c/*", 12, &pattern, &problem), 0);
    assert_false(spiffe_pattern_matches(&pattern, &none));
}

static void test_spiffe_pattern_parse_refuses_parts_of_segments(void **state)
{
    static const char *const wrong[] = { "spiffe://c/a*", "spiffe://c/**", "spiffe://*/a", "spiffe://c/*/", "*" };
    struct spiffe_id pattern;
    const char *problem;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(wrong); i++)
        assert_int_not_equal(spiffe_pattern_parse(wrong[i], strlen(wrong[i]), &pattern, &problem), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_spiffe_id_parse_takes_what_the_standard_allows),
        cmocka_unit_test(test_spiffe_id_parse_refuses_everything_else),
        cmocka_unit_test(test_spiffe_id_parse_stops_at_the_longest),
        cmocka_unit_test(test_spiffe_id_equals_is_literal),
        cmocka_unit_test(test_spiffe_id_is_in_its_whole_trust_domain),
        cmocka_unit_test(test_spiffe_pattern_matches_one_segment_for_a_star),
        cmocka_unit_test(test_spiffe_pattern_parse_refuses_parts_of_segments),
    };

    return RUN_TESTS(tests);
}

/* The first rule that matches decides; nobody without a proven identity matches one; with rules the default is no. */
#include "tests/unit/unit.h"

#include <string.h>

#include "proxy/config/config.h"
#include "proxy/policy/authorization.h"

static const char text[] =
    "version: 1\n"
    "intercept: {}\n"
    "authorization:\n"
    "  - {action: deny, identities: \"spiffe://c/ns/shop/sa/bad\"}\n"
    "  - {action: allow, identities: [\"spiffe://c/ns/shop/sa/*\", \"spiffe://d/x\"], ports: [8080]}\n"
    "  - {action: deny, sources: 10.0.0.7, ports: [9000-9010]}\n"
    "  - {action: allow, sources: [10.0.0.0/8, \"fd00::/8\"], ports: [9000-9010]}\n";

static struct config *config;

static int set_up(void **state)
{
    char *errors = NULL;

    (void)state;
    return config_parse("f", text, strlen(text), &config, &errors);
}

static int tear_down(void **state)
{
    (void)state;
    config_free(config);
    return 0;
}

#define NO_RULE ((int)AUTHORIZATION_NO_RULE)

static void expect(const char *identity, const char *source, uint16_t port, bool allowed, int rule)
{
    struct authorization_subject subject = { .port = port };
    union inet_address address = { 0 };
    struct spiffe_id id;
    const char *problem;
    size_t decided;

    if (source)
        assert_int_equal(sockaddr_parse_host(source, 1000, &address), 0);
    subject.source = &address.any;
    if (identity) {
        assert_int_equal(spiffe_id_parse(identity, strlen(identity), &id, &problem), 0);
        subject.identity = &id;
    }
    assert_int_equal(authorization_allows(config, &subject, &decided), allowed);
    assert_int_equal((int)decided, rule);
}

static void test_authorization_takes_the_first_that_matches(void **state)
{
    (void)state;
    expect("spiffe://c/ns/shop/sa/web", "10.0.0.1", 8080, true, 1);
    expect("spiffe://c/ns/shop/sa/bad", "10.0.0.1", 8080, false, 0);
    expect("spiffe://c/ns/shop/sa/bad", "10.0.0.1", 9000, false, 0);
    expect("spiffe://d/x", "192.0.2.1", 8080, true, 1);
    expect(NULL, "10.0.0.7", 9005, false, 2);
    expect(NULL, "10.0.0.8", 9005, true, 3);
    expect("spiffe://c/ns/shop/sa/web", "fd00::1", 9010, true, 3);
}

static void test_authorization_denies_who_matches_none(void **state)
{
    (void)state;
    expect("spiffe://c/ns/shop/sa/web", "10.0.0.1", 8081, false, NO_RULE);
    expect("spiffe://c/ns/shop2/sa/web", "10.0.0.1", 8080, false, NO_RULE);
    expect("spiffe://c/ns/shop/sa/web/x", "10.0.0.1", 8080, false, NO_RULE);
    expect(NULL, "10.0.0.1", 8080, false, NO_RULE); /* plaintext has no identity, whatever its source */
    expect(NULL, "11.0.0.1", 9000, false, NO_RULE);
    expect(NULL, NULL, 9000, false, NO_RULE); /* an unknown source is in no block */
}

static void test_authorization_without_rules_is_for_everybody(void **state)
{
    static const char none[] = "version: 1\nintercept: {}\n";
    struct authorization_subject subject = { .port = 1 };
    union inet_address address = { 0 };
    struct config *empty;
    char *errors;
    size_t rule;

    (void)state;
    assert_int_equal(config_parse("f", none, strlen(none), &empty, &errors), 0);
    subject.source = &address.any;
    assert_true(authorization_allows(empty, &subject, &rule));
    assert_int_equal((int)rule, NO_RULE);
    config_free(empty);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_authorization_takes_the_first_that_matches, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_authorization_denies_who_matches_none, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_authorization_without_rules_is_for_everybody, set_up, tear_down),
    };

    return RUN_TESTS(tests);
}

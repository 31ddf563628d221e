/*
 * The configuration as a whole: every mistake is reported with its place (golden), what is written arrives in the
 * model, defaults are inherited as documented, and a dump loads to the same.
 */
#include "tests/unit/unit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "proxy/config/config.h"
#include "proxy/config/schema.h"

static char *read_golden(const char *name)
{
    char path[512], *text;
    size_t length;

    snprintf(path, sizeof path, TESTS_DIRECTORY "/golden/%s", name);
    assert_int_equal(file_read(path, 1 << 20, &text, &length), 0);
    return text;
}

static struct config *parse(const char *text)
{
    struct config *config = NULL;
    char *errors = NULL;

    if (config_parse("f", text, strlen(text), &config, &errors) < 0)
        fail_msg("refused: %s", errors ? errors : "no reason");
    return config;
}

static char *dump(const struct config *config)
{
    struct strbuf text;

    strbuf_init(&text, 1 << 20);
    config_dump(config, &text);
    return strbuf_take(&text);
}

static void test_config_every_mistake_is_reported_with_its_place(void **state)
{
    char *text = read_golden("bad.yaml"), *expected = read_golden("bad.errors"), *errors = NULL;
    struct config *config = NULL;

    (void)state;
    assert_int_equal(config_parse("bad.yaml", text, strlen(text), &config, &errors), -EINVAL);
    assert_string_equal(errors, expected);
    free(errors);
    free(expected);
    free(text);
}

static void test_config_dump_is_as_expected_and_loads_to_the_same(void **state)
{
    char *text = read_golden("full.yaml"), *expected = read_golden("full.dump"), *first, *second;
    struct config *config = parse(text);

    (void)state;
    first = dump(config);
    config_free(config);
    assert_string_equal(first, expected);
    config = parse(first);
    second = dump(config);
    config_free(config);
    assert_string_equal(first, second);
    free(first);
    free(second);
    free(expected);
    free(text);
}

static void test_config_clusters_inherit_from_defaults_and_keep_their_own(void **state)
{
    char *text = read_golden("full.yaml");
    struct config *config = parse(text);
    const struct cluster_config *pg = &config->clusters.items[0], *through = &config->clusters.items[2];

    (void)state;
    free(text);
    assert_int_equal(pg->timeouts.connect_ms, 2000);
    assert_int_equal(pg->timeouts.idle_ms, 0);
    assert_int_equal(pg->retry.attempts, 5);
    assert_int_equal(pg->retry.on, RETRY_ON_REFUSED | RETRY_ON_TIMEOUT);
    assert_int_equal(pg->retry.replay_bytes, 1024);
    assert_int_equal(through->timeouts.connect_ms, 2000);
    assert_int_equal(through->circuit_breaker.max_connections, CONFIG_UNLIMITED);
    assert_int_equal(config->passthrough.retry.replay_bytes, 1024);
    assert_int_equal(config->intercept.inbound.ports.items[0].cluster.discovery, DISCOVERY_ORIGINAL_DESTINATION);
    assert_int_equal(config->intercept.inbound.ports.items[1].cluster.discovery, DISCOVERY_STATIC);
    assert_string_equal(config->intercept.inbound.ports.items[1].cluster.name, "inbound:80");
    config_free(config);
}

static void test_config_original_destination_has_defaults_of_its_own(void **state)
{
    struct config *config = parse("version: 1\nintercept: {}\n");

    (void)state;
    assert_int_equal(config->passthrough.timeouts.connect_ms, 10000);
    assert_int_equal(config->passthrough.circuit_breaker.max_connections, CONFIG_UNLIMITED);
    assert_int_equal(config->inbound.discovery, DISCOVERY_ORIGINAL_DESTINATION);
    assert_int_equal(config->intercept.outbound.port, 15001);
    assert_int_equal(config->workers, CONFIG_AUTO);
    config_free(config);
}

static void test_config_match_rules_are_most_specific_first(void **state)
{
    static const char text[] =
        "version: 1\nintercept: {}\nclusters:\n"
        "  - {name: a, discovery: original_destination, match: [{addresses: 10.0.0.0/8}]}\n"
        "  - {name: b, discovery: original_destination, match: [{addresses: 10.1.0.0/16, ports: 1-100}]}\n"
        "  - {name: c, discovery: original_destination, match: [{addresses: 10.1.0.0/16, ports: 80}]}\n"
        "  - {name: d, discovery: original_destination, match: [{addresses: 10.1.2.3}]}\n";
    static const char *const order[] = { "d", "c", "b", "a" };
    struct config *config = parse(text);

    (void)state;
    assert_int_equal(config->match_rules.count, 4);
    for (size_t i = 0; i < 4; i++)
        assert_string_equal(config->clusters.items[config->match_rules.items[i].cluster].name, order[i]);
    config_free(config);
}

static void test_config_limits_of_clients_are_numbers_and_reach_their_port(void **state)
{
    static const char bad[] = "version: 1\n"
                              "limits: {max_connections_per_source: many, accept_rate: 2000000}\n"
                              "intercept:\n"
                              "  inbound: {ports: [{ports: 80, limits: {max_conections: 5, accept_rate: 1}}]}\n";
    struct config *config = NULL;
    char *errors = NULL;

    (void)state;
    assert_int_equal(config_parse("f", bad, strlen(bad), &config, &errors), -EINVAL);
    assert_string_equal(
        errors,
        "f:2:38: limits.max_connections_per_source: \"many\" is not a whole number; allowed: 0 to 10000000\n"
        "f:2:57: limits.accept_rate: 2000000 is out of range; allowed: 0 to 1000000\n"
        "f:4:42: intercept.inbound.ports[0].limits: unknown key \"max_conections\"; did you mean \"max_connections\"?\n"
        "f:4:61: intercept.inbound.ports[0].limits: unknown key \"accept_rate\"; allowed: max_connections, "
        "max_connections_per_source\n");
    free(errors);
    config = parse(
        "version: 1\n"
        "intercept: {inbound: {ports: [{ports: 80, limits: {max_connections: 5, max_connections_per_source: 2}}]}}\n");
    assert_int_equal(config->intercept.inbound.ports.items[0].cluster.client_limits.max_connections, 5);
    assert_int_equal(config->intercept.inbound.ports.items[0].cluster.client_limits.max_connections_per_source, 2);
    assert_int_equal(config->inbound.client_limits.max_connections, CONFIG_UNLIMITED);
    config_free(config);
}

static void test_config_load_of_a_missing_file_says_so(void **state)
{
    struct config *config = NULL;
    const char *name = NULL;
    char *errors = NULL;

    (void)state;
    assert_int_equal(
        config_load(&(struct config_files){ .path = "/nonexistent/outrigger.yaml" }, NULL, &name, &config, &errors),
        -EINVAL);
    assert_string_equal(errors, "/nonexistent/outrigger.yaml: cannot be read: No such file or directory\n");
    free(errors);
}

/* Each row has what its type needs, so that a forgotten member is found here and not by a user. */
static void check_rows(const struct section *section)
{
    for (size_t i = 0; i < section->count; i++) {
        const struct field *field = &section->fields[i];

        if (!field->doc || strlen(field->doc) < 10)
            fail_msg("%s: no doc", field->key);
        if ((field->type == FIELD_SECTION || field->type == FIELD_LIST) != (field->section != NULL))
            fail_msg("%s: section", field->key);
        if ((field->type == FIELD_ENUM || field->type == FIELD_FLAGS) != (field->names != NULL))
            fail_msg("%s: names", field->key);
        if ((field->type == FIELD_NUMBER || field->type == FIELD_DURATION || field->type == FIELD_SIZE) &&
            (field->max == 0 || field->min > field->max ||
             (!field->keyword && field->presence != PRESENCE_REQUIRED &&
              (field->def < field->min || field->def > field->max))))
            fail_msg("%s: range or default", field->key);
        for (size_t j = 0; j < i; j++)
            assert_string_not_equal(field->key, section->fields[j].key);
        if (field->section)
            check_rows(field->section);
    }
}

static void test_schema_rows_are_complete(void **state)
{
    (void)state;
    check_rows(&schema_root);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_config_every_mistake_is_reported_with_its_place),
        cmocka_unit_test(test_config_dump_is_as_expected_and_loads_to_the_same),
        cmocka_unit_test(test_config_clusters_inherit_from_defaults_and_keep_their_own),
        cmocka_unit_test(test_config_original_destination_has_defaults_of_its_own),
        cmocka_unit_test(test_config_match_rules_are_most_specific_first),
        cmocka_unit_test(test_config_limits_of_clients_are_numbers_and_reach_their_port),
        cmocka_unit_test(test_config_load_of_a_missing_file_says_so),
        cmocka_unit_test(test_schema_rows_are_complete),
    };

    return RUN_TESTS(tests);
}

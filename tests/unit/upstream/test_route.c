/* The binary searches find what looking at every rule finds, and quickly with many clusters. */
#include "tests/unit/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/random.h"
#include "base/strbuf.h"
#include "proxy/config/config.h"
#include "proxy/config/match_rules.h"
#include "proxy/upstream/route.h"

/* What the design says of precedence, in the plainest way: a greater rank wins. */
static unsigned long rank_of(const struct match_rule *rule)
{
    unsigned long width = (unsigned long)(rule->ports.last - rule->ports.first);
    unsigned long name = rule->sni_kind == MATCH_SNI_EXACT      ? 1000
                         : rule->sni_kind == MATCH_SNI_WILDCARD ? strlen(rule->sni)
                                                                : 0;

    return ((unsigned long)rule->block.prefix << 40) + ((65535 - width) << 16) + name;
}

static bool has_name(const struct match_rule *rule, const char *name)
{
    size_t length = strlen(name), end = strlen(rule->sni);

    if (rule->sni_kind == MATCH_SNI_EXACT)
        return strcmp(rule->sni, name) == 0;
    if (rule->sni_kind == MATCH_SNI_WILDCARD)
        return length > end + 1 && name[length - end - 1] == '.' && strcmp(name + length - end, rule->sni) == 0;
    return true;
}

static bool applies(const struct match_rule *rule, const struct sockaddr *destination)
{
    return port_range_contains(rule->ports, sockaddr_port(destination)) && cidr_contains(&rule->block, destination);
}

static const struct match_rule *find_slowly(const struct config *config, const struct sockaddr *destination,
                                            const char *name)
{
    const struct match_rule *best = NULL;

    for (size_t i = 0; i < config->match_rules.count; i++) {
        const struct match_rule *rule = &config->match_rules.items[i];

        if (applies(rule, destination) && has_name(rule, name) && (!best || rank_of(rule) > rank_of(best)))
            best = rule;
    }
    return best;
}

/* Whether the decision may depend on the name: a rule with one stands before the first without. */
static bool depends_on_name(const struct config *config, const struct sockaddr *destination)
{
    const struct match_rule *best = NULL;

    for (size_t i = 0; i < config->match_rules.count; i++) {
        const struct match_rule *rule = &config->match_rules.items[i];

        if (applies(rule, destination) && (!best || rank_of(rule) > rank_of(best)))
            best = rule;
    }
    return best && best->sni_kind != MATCH_SNI_ANY;
}

static struct route_table *table_of(const struct config *config)
{
    struct route_table *table;

    assert_int_equal(route_table_new(config->match_rules.items, config->match_rules.count, &table), 0);
    return table;
}

static void assert_same(const struct match_rule *a, const struct match_rule *b)
{
    assert_true((a == NULL) == (b == NULL));
    if (a)
        assert_int_equal(match_rules_compare(a, b), 0);
}

static struct config *load(const char *text)
{
    struct config *config = NULL;
    char *errors = NULL;

    if (config_parse("f", text, strlen(text), &config, &errors) < 0)
        fail_msg("%s", errors);
    return config;
}

static void append_clusters(struct strbuf *text, struct random *random, unsigned count)
{
    strbuf_append(text, "version: 1\nintercept: {}\nclusters:\n");
    for (unsigned i = 0; i < count; i++) {
        unsigned prefix = 8 + (unsigned)random_below(random, 25);
        uint32_t address = (10u << 24 | (uint32_t)random_below(random, 1 << 24)) &
                           (uint32_t)(0xffffffffULL << (32 - prefix));

        if (i % 4 == 3)
            strbuf_printf(
                text,
                "  - {name: c%u, discovery: original_destination, match: [{addresses: \"fd00:%x::/%u\", ports: %u}]}\n",
                i, i, 32u, 1000 + i);
        else
            strbuf_printf(text,
                          "  - {name: c%u, discovery: original_destination, match: [{addresses: %u.%u.%u.%u/%u, ports: "
                          "%u-%u}]}\n",
                          i, address >> 24, address >> 16 & 255, address >> 8 & 255, address & 255, prefix, 1 + i,
                          1 + i * 2);
    }
}

static void test_route_find_agrees_with_looking_at_every_rule(void **state)
{
    struct random random;
    unsigned found = 0;

    (void)state;
    random_init(&random, 11);
    for (int round = 0; round < 10; round++) {
        struct strbuf text;
        struct config *config;
        struct route_table *table;

        strbuf_init(&text, 1 << 20);
        append_clusters(&text, &random, 300);
        config = load(text.text);
        table = table_of(config);
        for (int i = 0; i < 5000; i++) {
            union inet_address address = { .family = i % 4 == 0 ? AF_INET6 : AF_INET };
            const struct match_rule *rule;

            if (i % 4 == 0) {
                char host[32];

                snprintf(host, sizeof host, "fd00:%x::1", (unsigned)random_below(&random, 320));
                assert_int_equal(sockaddr_parse_host(host, 1, &address), 0);
            } else
                address.in.sin_addr.s_addr = htonl(10u << 24 | (uint32_t)random_below(&random, 1 << 24));
            sockaddr_set_port(&address.any, (uint16_t)(1 + random_below(&random, 1400)));
            rule = route_find(table, &address.any);
            assert_same(rule, find_slowly(config, &address.any, ""));
            found += rule != NULL;
        }
        route_table_unref(table);
        config_free(config);
        strbuf_done(&text);
    }
    assert_in_range(found, 1000, 49000); /* both outcomes were tried */
}

static const char *const names[] = { "a.example",     "b.example",     "x.a.example", "y.a.example",
                                     "z.x.a.example", "other.invalid", "example",     "" };

/* Few blocks, ports and names, so that rules of every rank compete for the same connections. */
static void append_named_cluster(struct strbuf *text, struct random *random, unsigned index)
{
    static const char *const blocks[] = { "addresses: 10.0.0.0/8, ", "addresses: 10.0.0.0/24, ",
                                          "addresses: 10.0.0.1, ", "addresses: \"::/0\", ", "" };
    static const char *const snis[] = { "",
                                        "",
                                        "sni: [a.example, b.example], ",
                                        "sni: \"*.a.example\", ",
                                        "sni: \"*.example\", ",
                                        "sni: [x.a.example], ",
                                        "sni: \"*.x.a.example\", " };
    const char *block = blocks[random_below(random, ARRAY_SIZE(blocks))];
    const char *sni = snis[random_below(random, ARRAY_SIZE(snis))];
    unsigned first = 1 + (unsigned)random_below(random, 12), width = (unsigned)random_below(random, 4);

    if (!*block && !*sni)
        block = "addresses: 0.0.0.0/0, ";
    strbuf_printf(text, "- {name: c%u, discovery: original_destination, match: [{%s%sports: %u-%u}]}\n", index, block,
                  sni, first, first + width);
}

/* Random clusters tie; those that do are left out, as a person would have to. */
static struct config *load_without_ties(struct random *random)
{
    char *text = strdup("version: 1\nintercept: {}\nclusters:\n");

    for (unsigned i = 0; i < 60; i++) {
        struct strbuf more;
        struct config *config = NULL;
        char *errors = NULL;

        strbuf_init(&more, 1 << 16);
        strbuf_append(&more, text);
        append_named_cluster(&more, random, i);
        if (config_parse("f", more.text, strlen(more.text), &config, &errors) == 0) {
            free(text);
            text = strdup(more.text);
        } else
            assert_non_null(strstr(errors, "matched as closely"));
        config_free(config);
        free(errors);
        strbuf_done(&more);
    }
    struct config *config = load(text);

    free(text);
    return config;
}

static void test_route_find_with_server_names_follows_the_precedence(void **state)
{
    unsigned asked = 0, decided = 0;
    struct random random;

    (void)state;
    random_init(&random, 12);
    for (int round = 0; round < 20; round++) {
        struct config *config = load_without_ties(&random);
        struct route_table *table = table_of(config);

        for (int i = 0; i < 2000; i++) {
            static const char *const hosts[] = { "10.0.0.1", "10.0.0.2", "10.9.0.1", "192.0.2.1" };
            const char *name = names[random_below(&random, ARRAY_SIZE(names))];
            union inet_address address;
            const struct match_rule *rule;

            assert_int_equal(sockaddr_parse_host(i % 5 == 0 ? "2001:db8::1" : hosts[i % 4],
                                                 (uint16_t)(1 + random_below(&random, 16)), &address),
                             0);
            rule = route_find(table, &address.any);
            assert_int_equal(rule && rule->sni_kind == MATCH_SNI_PEEK, depends_on_name(config, &address.any));
            if (rule && rule->sni_kind == MATCH_SNI_PEEK)
                asked++;
            else
                assert_same(rule, find_slowly(config, &address.any, ""));
            rule = route_find_named(table, &address.any, name);
            assert_same(rule, find_slowly(config, &address.any, name));
            decided += rule && rule->sni_kind != MATCH_SNI_ANY;
        }
        route_table_unref(table);
        config_free(config);
    }
    assert_true(asked > 1000 && decided > 1000);
}

static void test_route_table_with_resolved_ties_takes_the_file_order_and_counts(void **state)
{
    struct match_rule rules[] = {
        { .block = { AF_INET, 32, { 10, 0, 0, 1 } },
          .ports = { 80, 81 },
          .sni_kind = MATCH_SNI_ANY,
          .sni = "",
          .cluster = 2,
          .order = 2,
          .is_resolved = true },
        { .block = { AF_INET, 32, { 10, 0, 0, 1 } },
          .ports = { 81, 82 },
          .sni_kind = MATCH_SNI_ANY,
          .sni = "",
          .cluster = 1,
          .order = 1,
          .is_resolved = true },
    };
    static const struct {
        uint16_t port;
        uint32_t cluster;
    } cases[] = { { 80, 2 }, { 81, 1 }, { 82, 1 } };
    struct route_table *table;
    union inet_address address;

    (void)state;
    assert_int_equal(route_table_new(rules, ARRAY_SIZE(rules), &table), 0);
    assert_int_equal(table->ties, 1);
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        sockaddr_parse_host("10.0.0.1", cases[i].port, &address);
        assert_int_equal(route_find(table, &address.any)->cluster, cases[i].cluster);
    }
    route_table_unref(table);
}

static double now_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

/* Ten times as quick as looking at every rule, at least: a ratio, since sanitizers and busy machines slow both down. */
static void assert_quick(const char *format, const char *destination, uint16_t port, const char *name)
{
    double begin_us, quick_us, slow_us;
    union inet_address address;
    struct route_table *table;
    struct config *config;
    struct strbuf text;

    strbuf_init(&text, 2 << 20);
    strbuf_append(&text, "version: 1\nintercept: {}\nclusters:\n");
    for (unsigned i = 0; i < 10000; i++) {
        strbuf_printf(&text, "- {name: c%u, discovery: original_destination, match: [", i);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        strbuf_printf(&text, format, i >> 8 & 255, i & 255, 1000 + i, i);
#pragma GCC diagnostic pop
        strbuf_append(&text, "]}\n");
    }
    config = load(text.text);
    table = table_of(config);
    assert_true(config->match_rules.count >= 10000);
    sockaddr_parse_host(destination, port, &address);
    begin_us = now_us();
    for (int i = 0; i < 10000; i++)
        assert_int_equal(route_find_named(table, &address.any, name)->cluster, 9999);
    quick_us = (now_us() - begin_us) / 10000;
    begin_us = now_us();
    for (int i = 0; i < 100; i++)
        assert_int_equal(find_slowly(config, &address.any, name)->cluster, 9999);
    slow_us = (now_us() - begin_us) / 100;
    if (quick_us * 10 > slow_us)
        fail_msg("%.2f us each, and %.2f us for looking at every rule", quick_us, slow_us);
    route_table_unref(table);
    config_free(config);
    strbuf_done(&text);
}

static void test_route_find_is_quick_with_ten_thousand_clusters(void **state)
{
    (void)state;
    assert_quick("{addresses: 10.0.%1$u.%2$u}", "10.0.39.15", 80, "");
    assert_quick("{addresses: 0.0.0.0/0, ports: %3$u}", "192.0.2.1", 10999, "");
    assert_quick("{ports: 443, sni: n%4$u.example}", "192.0.2.1", 443, "n9999.example");
    assert_quick("{ports: 443, sni: \"*.n%4$u.example\"}", "192.0.2.1", 443, "a.b.n9999.example");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_route_find_agrees_with_looking_at_every_rule),
        cmocka_unit_test(test_route_find_with_server_names_follows_the_precedence),
        cmocka_unit_test(test_route_table_with_resolved_ties_takes_the_file_order_and_counts),
        cmocka_unit_test(test_route_find_is_quick_with_ten_thousand_clusters),
    };

    return RUN_TESTS(tests);
}

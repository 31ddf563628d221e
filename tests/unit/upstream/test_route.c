/* The binary searches find what looking at every rule finds, and quickly with many clusters. */
#include "tests/unit/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/random.h"
#include "base/strbuf.h"
#include "proxy/config/config.h"
#include "proxy/upstream/route.h"

static const struct match_rule *find_slowly(const struct config *config, const struct sockaddr *destination)
{
    for (size_t i = 0; i < config->match_rules.count; i++) {
        const struct match_rule *rule = &config->match_rules.items[i];

        if (port_range_contains(rule->ports, sockaddr_port(destination)) && cidr_contains(&rule->block, destination))
            return rule;
    }
    return NULL;
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

        strbuf_init(&text, 1 << 20);
        append_clusters(&text, &random, 300);
        config = load(text.text);
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
            rule = route_find(config, &address.any);
            assert_ptr_equal(rule, find_slowly(config, &address.any));
            found += rule != NULL;
        }
        config_free(config);
        strbuf_done(&text);
    }
    assert_in_range(found, 1000, 49000); /* both outcomes were tried */
}

static void test_route_find_is_quick_with_ten_thousand_clusters(void **state)
{
    struct timespec begin, end;
    union inet_address address;
    struct config *config;
    struct strbuf text;
    double each_us;

    (void)state;
    strbuf_init(&text, 1 << 20);
    strbuf_append(&text, "version: 1\nintercept: {}\nclusters:\n");
    for (unsigned i = 0; i < 10000; i++)
        strbuf_printf(&text, "- {name: c%u, discovery: original_destination, match: [{addresses: 10.%u.%u.%u}]}\n", i,
                      i >> 16, i >> 8 & 255, i & 255);
    config = load(text.text);
    assert_int_equal(config->match_rules.count, 10000);
    sockaddr_parse_host("10.0.39.15", 80, &address);
    clock_gettime(CLOCK_MONOTONIC, &begin);
    for (int i = 0; i < 10000; i++)
        assert_non_null(route_find(config, &address.any));
    clock_gettime(CLOCK_MONOTONIC, &end);
    each_us = ((double)(end.tv_sec - begin.tv_sec) * 1e9 + (double)(end.tv_nsec - begin.tv_nsec)) / 1e3 / 10000;
    if (each_us > 10) /* looking at every rule takes longer than that even where nothing else slows it down */
        fail_msg("%.2f us each", each_us);
    config_free(config);
    strbuf_done(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_route_find_agrees_with_looking_at_every_rule),
        cmocka_unit_test(test_route_find_is_quick_with_ten_thousand_clusters),
    };

    return RUN_TESTS(tests);
}

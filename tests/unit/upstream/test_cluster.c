/* Which cluster a destination belongs to, in which order endpoints are tried, and that a limit of n is n. */
#include "tests/unit/unit.h"

#include <stdlib.h>
#include <string.h>

#include "proxy/config/config.h"
#include "proxy/upstream/cluster.h"

static const char text[] =
    "version: 1\n"
    "intercept: {inbound: {ports: [{ports: [80, 8000-8010]}]}}\n"
    "clusters:\n"
    "  - {name: wide, discovery: original_destination, match: [{addresses: [10.0.0.0/8, \"2001:db8::/32\"]}]}\n"
    "  - name: narrow\n"
    "    match: [{addresses: 10.1.0.0/16, ports: 443}]\n"
    "    circuit_breaker: {max_connections: 2}\n"
    "    endpoints: [{address: \"127.0.0.1:1\"}, {address: \"127.0.0.1:2\"}, {address: \"127.0.0.1:3\"}]\n";

static struct config *config;
static struct cluster_set *set;

static int set_up(void **state)
{
    char *errors = NULL;

    (void)state;
    if (config_parse("f", text, strlen(text), &config, &errors) < 0)
        return -1;
    return cluster_set_new(config, &set);
}

static int tear_down(void **state)
{
    (void)state;
    cluster_set_free(set);
    config_free(config);
    return 0;
}

static const char *outbound(const char *host, uint16_t port)
{
    union inet_address address;
    const struct cluster *cluster;

    assert_int_equal(sockaddr_parse_host(host, port, &address), 0);
    cluster = cluster_set_match_outbound(set, &address.any);
    return cluster ? cluster->config->name : "none";
}

static void test_cluster_set_match_outbound_takes_the_most_specific(void **state)
{
    (void)state;
    assert_string_equal(outbound("10.1.2.3", 443), "narrow");
    assert_string_equal(outbound("10.1.2.3", 80), "wide");
    assert_string_equal(outbound("10.2.2.3", 443), "wide");
    assert_string_equal(outbound("2001:db8::1", 443), "wide");
    assert_string_equal(outbound("11.0.0.1", 443), "none");
    assert_string_equal(outbound("::1", 443), "none");
}

static void test_cluster_set_match_inbound_falls_back_to_the_built_in(void **state)
{
    (void)state;
    assert_string_equal(cluster_set_match_inbound(set, 80)->config->name, "inbound:80");
    assert_string_equal(cluster_set_match_inbound(set, 8005)->config->name, "inbound:80");
    assert_string_equal(cluster_set_match_inbound(set, 8011)->config->name, "inbound");
}

static void test_cluster_pick_tries_every_endpoint_before_any_again(void **state)
{
    struct cluster *cluster = cluster_set_find(set, "narrow");

    (void)state;
    for (unsigned begin = 0; begin < 7; begin++) {
        unsigned turn = cluster_next_turn(cluster), seen = 0;

        for (unsigned attempt = 0; attempt < 3; attempt++)
            seen |= 1u << sockaddr_port(&cluster_pick(cluster, turn, attempt)->address.any);
        assert_int_equal(seen, 0xe);
        assert_ptr_equal(cluster_pick(cluster, turn, 3), cluster_pick(cluster, turn, 0));
        assert_ptr_equal(cluster_pick(cluster, turn, 0), &cluster->endpoints[begin % 3]);
    }
    assert_null(cluster_pick(cluster_set_find(set, "wide"), 0, 0));
}

static void test_cluster_acquire_stops_at_the_limit(void **state)
{
    struct cluster *cluster = cluster_set_find(set, "narrow"), *unlimited = cluster_set_find(set, "wide");

    (void)state;
    assert_true(cluster_acquire(cluster));
    assert_true(cluster_acquire(cluster));
    assert_false(cluster_acquire(cluster));
    assert_false(cluster_acquire(cluster));
    cluster_release(cluster);
    assert_true(cluster_acquire(cluster));
    for (int i = 0; i < 5000; i++)
        assert_true(cluster_acquire(unlimited));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_cluster_set_match_outbound_takes_the_most_specific, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_cluster_set_match_inbound_falls_back_to_the_built_in, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_cluster_pick_tries_every_endpoint_before_any_again, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_cluster_acquire_stops_at_the_limit, set_up, tear_down),
    };

    return RUN_TESTS(tests);
}

/* Which cluster a destination belongs to, that a limit of n is n, and who waits for a place gets it in turn. */
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
    "    circuit_breaker: {max_connections: 2, max_pending: 3}\n"
    "    endpoints: [{address: \"127.0.0.1:1\"}, {address: \"127.0.0.1:2\"}, {address: \"127.0.0.1:3\"}]\n";

static struct config *config;
static struct cluster_set *set;

static int set_up(void **state)
{
    char *errors = NULL;

    (void)state;
    if (config_parse("f", text, strlen(text), &config, &errors) < 0)
        return -1;
    return cluster_set_new(config, 0, &set);
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
    const struct match_rule *rule;

    assert_int_equal(sockaddr_parse_host(host, port, &address), 0);
    rule = route_find(set->router.table, &address.any);
    return rule ? set->clusters[rule->cluster].config->name : "none";
}

static void test_route_find_takes_the_most_specific(void **state)
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

/* Whose turn came, in order. */
struct turn {
    struct waiter waiter;
    int number;
};

static int order[8], granted;

static void on_granted(struct waiter *waiter)
{
    order[granted++] = ((struct turn *)waiter)->number;
}

static void test_cluster_wait_grants_in_turn_and_stops_at_the_limit(void **state)
{
    struct cluster *cluster = cluster_set_find(set, "narrow");
    struct turn turns[4];

    (void)state;
    granted = 0;
    for (int i = 0; i < 4; i++)
        turns[i] = (struct turn){ .waiter.granted = on_granted, .number = i };
    assert_true(cluster_acquire(cluster));
    assert_true(cluster_acquire(cluster));
    for (int i = 0; i < 3; i++)
        assert_true(cluster_wait(cluster, &turns[i].waiter));
    assert_false(cluster_wait(cluster, &turns[3].waiter)); /* max_pending */
    assert_int_equal(cluster->pending_overflows, 1);
    cluster_stop_waiting(cluster, &turns[1].waiter);
    assert_int_equal(granted, 0);
    cluster_release(cluster);
    assert_int_equal(granted, 1);
    assert_int_equal(order[0], 0);
    assert_false(cluster_acquire(cluster));          /* nobody overtakes who waits */
    cluster_stop_waiting(cluster, &turns[0].waiter); /* granted already: the place goes to the next */
    assert_int_equal(granted, 2);
    assert_int_equal(order[1], 2);
    assert_int_equal(cluster->active, 2);
    cluster_release(cluster);
    cluster_release(cluster);
    assert_int_equal(cluster->active, 0);
    assert_true(cluster_acquire(cluster));
}

static void test_cluster_wait_grants_at_once_where_a_place_became_free(void **state)
{
    struct cluster *cluster = cluster_set_find(set, "narrow");
    struct turn turn = { .waiter.granted = on_granted, .number = 7 };

    (void)state;
    granted = 0;
    assert_true(cluster_acquire(cluster)); /* the place that a releasing thread has not yet given on */
    assert_true(cluster_wait(cluster, &turn.waiter));
    assert_int_equal(granted, 1);
    assert_int_equal(cluster->active, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_route_find_takes_the_most_specific, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_cluster_set_match_inbound_falls_back_to_the_built_in, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_cluster_acquire_stops_at_the_limit, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_cluster_wait_grants_in_turn_and_stops_at_the_limit, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_cluster_wait_grants_at_once_where_a_place_became_free, set_up, tear_down),
    };

    return RUN_TESTS(tests);
}

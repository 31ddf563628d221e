/*
 * Which cluster a destination belongs to, that a limit of n is n, that who waits for a place gets it in turn, and what
 * another configuration leaves as it was.
 */
#include "tests/unit/unit.h"

#include <stdlib.h>
#include <string.h>

#include "proxy/config/config.h"
#include "proxy/upstream/cluster.h"
#include "proxy/upstream/cluster_endpoints.h"

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
static struct cluster_registry registry;
static struct cluster_set *set;

static int set_up(void **state)
{
    char *errors = NULL;

    (void)state;
    bool changed;

    if (config_parse("f", text, strlen(text), &config, &errors) < 0)
        return -1;
    cluster_registry_init(&registry, 2);
    return cluster_set_new(config, &registry, 0, &set) < 0 || cluster_set_publish(set, 0, &changed) < 0 ? -1 : 0;
}

static int tear_down(void **state)
{
    (void)state;
    cluster_set_free(set);
    cluster_registry_done(&registry);
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
    assert_int_equal(cluster->state->pending_overflows, 1);
    cluster_stop_waiting(cluster, &turns[1].waiter);
    assert_int_equal(granted, 0);
    cluster_release(cluster);
    assert_int_equal(granted, 1);
    assert_int_equal(order[0], 0);
    assert_false(cluster_acquire(cluster));          /* nobody overtakes who waits */
    cluster_stop_waiting(cluster, &turns[0].waiter); /* granted already: the place goes to the next */
    assert_int_equal(granted, 2);
    assert_int_equal(order[1], 2);
    assert_int_equal(cluster->state->active, 2);
    cluster_release(cluster);
    cluster_release(cluster);
    assert_int_equal(cluster->state->active, 0);
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
    assert_int_equal(cluster->state->active, 2);
}

/* Another configuration, published in the place of the one before. */
struct successor {
    struct config *config;
    struct cluster_set *set;
};

static void succeed(struct successor *successor, const char *changed_text)
{
    char *errors = NULL;
    bool changed;

    if (config_parse("g", changed_text, strlen(changed_text), &successor->config, &errors) < 0)
        fail_msg("%s", errors);
    assert_int_equal(cluster_set_new(successor->config, &registry, 1000, &successor->set), 0);
    for (size_t i = 0; i < set->count; i++)
        set->clusters[i].state->newest = NULL;
    assert_int_equal(cluster_set_publish(successor->set, 1000, &changed), 0);
}

static void end_successor(struct successor *successor)
{
    cluster_set_free(successor->set);
    config_free(successor->config);
}

static void test_cluster_set_publish_keeps_endpoints_that_stay(void **state)
{
    struct cluster *cluster = cluster_set_find(set, "narrow"), *newest;
    struct endpoint_set *before = cluster_get_endpoints(cluster->state), *after;
    struct successor successor;

    (void)state;
    cluster_set_down(cluster, before->slots[1].endpoint, true, 500);
    succeed(&successor, "version: 1\nintercept: {}\n"
                        "clusters:\n"
                        "  - name: narrow\n"
                        "    endpoints: [{address: \"127.0.0.1:2\"}, {address: \"127.0.0.1:4\"}]\n");
    newest = cluster_set_find(successor.set, "narrow");
    assert_ptr_equal(newest->state, cluster->state);
    assert_ptr_equal(newest->state->newest, newest);
    assert_null(cluster_set_find(set, "wide")->state->newest);
    after = cluster_get_endpoints(newest->state);
    assert_int_equal(after->count, 2);
    assert_ptr_equal(after->slots[0].endpoint, before->slots[1].endpoint);
    assert_true(after->slots[0].endpoint->is_down);
    assert_false(after->slots[0].endpoint->is_gone);
    assert_true(before->slots[0].endpoint->is_gone);
    assert_int_equal(after->slots[1].endpoint->added_ms, 1000); /* slow start for the one that joined */
    endpoint_set_unref(before);
    endpoint_set_unref(after);
    end_successor(&successor);
}

static void test_cluster_set_publish_raises_the_limit_for_those_that_wait(void **state)
{
    struct cluster *cluster = cluster_set_find(set, "narrow");
    struct turn turn = { .waiter.granted = on_granted, .number = 1 };
    struct successor successor;

    (void)state;
    granted = 0;
    assert_true(cluster_acquire(cluster));
    assert_true(cluster_acquire(cluster));
    assert_true(cluster_wait(cluster, &turn.waiter));
    assert_int_equal(granted, 0);
    succeed(&successor, "version: 1\nintercept: {}\n"
                        "clusters:\n"
                        "  - name: narrow\n"
                        "    circuit_breaker: {max_connections: 3}\n"
                        "    endpoints: [{address: \"127.0.0.1:1\"}]\n");
    assert_int_equal(granted, 1);
    assert_int_equal(cluster->state->active, 3);
    assert_false(cluster_acquire(cluster)); /* by whichever configuration */
    end_successor(&successor);
}

static void test_cluster_registry_takes_original_destination_for_another_cluster(void **state)
{
    struct cluster *cluster = cluster_set_find(set, "narrow");
    struct successor successor;

    (void)state;
    succeed(&successor, "version: 1\nintercept: {}\nclusters: [{name: narrow, discovery: original_destination}]\n");
    assert_ptr_not_equal(cluster_set_find(successor.set, "narrow")->state, cluster->state);
    assert_null(cluster->state->newest);
    end_successor(&successor);
}

static void test_cluster_set_publish_leaves_faults_that_were_set_while_it_ran(void **state)
{
    struct cluster *cluster = cluster_set_find(set, "narrow");
    struct faults_config faults = { .refuse.percent = 10000 };
    struct successor successor;

    (void)state;
    faults_set(&cluster->state->faults, &faults);
    succeed(&successor, text);
    assert_true(faults_are_on(&cluster->state->faults));
    end_successor(&successor);
    succeed(&successor, "version: 1\nintercept: {}\n"
                        "clusters:\n"
                        "  - {name: narrow, endpoints: [{address: \"127.0.0.1:1\"}], faults: {bandwidth: 1MiB}}\n");
    assert_int_equal(cluster->state->faults.in_force.refuse.percent, 0);
    assert_int_equal(cluster->state->faults.in_force.bandwidth, 1024 * 1024);
    end_successor(&successor);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_route_find_takes_the_most_specific, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_cluster_set_match_inbound_falls_back_to_the_built_in, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_cluster_acquire_stops_at_the_limit, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_cluster_wait_grants_in_turn_and_stops_at_the_limit, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_cluster_wait_grants_at_once_where_a_place_became_free, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_cluster_set_publish_keeps_endpoints_that_stay, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_cluster_set_publish_raises_the_limit_for_those_that_wait, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_cluster_registry_takes_original_destination_for_another_cluster, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_cluster_set_publish_leaves_faults_that_were_set_while_it_ran, set_up,
                                        tear_down),
    };

    return RUN_TESTS(tests);
}

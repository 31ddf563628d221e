/*
 * Which endpoint gets a connection: the shares of each strategy, exactly where it is exact; that a lost endpoint moves
 * only its own share; priorities, zones and panic; and that a choice ends, whatever is usable.
 */
#include "tests/unit/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/config/model.h"
#include "proxy/upstream/balancer.h"

#define MOST 64

static struct cluster_config config;
static struct endpoint_slot slots[MOST];
static struct endpoint_set *set;
static struct random generator;
static unsigned next_turn;

static void begin(enum lb_policy policy)
{
    config = (struct cluster_config){ .load_balancing.policy = policy,
                                      .outlier_detection = { .consecutive_failures = 5,
                                                             .base_ejection_ms = 1000,
                                                             .max_ejection_ms = 8000,
                                                             .max_ejected = 5000,
                                                             .panic_threshold = 5000 } };
    random_init(&generator, 7);
    next_turn = 0;
}

static void make_set(size_t count, const unsigned *weights)
{
    for (size_t i = 0; i < count; i++) {
        union sockaddr_any address;
        char text[32];
        const char *why;

        snprintf(text, sizeof text, "10.0.0.1:%zu", i + 1);
        assert_int_equal(sockaddr_parse(text, &address, &why), 0);
        slots[i].endpoint = endpoint_new(&address, 0);
        slots[i].weight = weights ? weights[i] : 1;
    }
    assert_int_equal(endpoint_set_new(slots, count, &set), 0);
}

static int tear_down(void **state)
{
    (void)state;
    for (size_t i = 0; i < MOST; i++)
        endpoint_unref(slots[i].endpoint);
    memset(slots, 0, sizeof slots);
    endpoint_set_unref(set);
    set = NULL;
    return 0;
}

static void eject(size_t index)
{
    assert_int_not_equal(outlier_eject(&slots[index].endpoint->outlier, &config.outlier_detection, 0, &generator), 0);
}

static struct endpoint *pick_for(uint64_t hash, struct endpoint *const *tried, size_t tried_count, uint64_t now_ms,
                                 uint64_t *ret_trial)
{
    struct balancer_request request = { .config = &config,
                                        .set = set,
                                        .all_healthy = balancer_count_healthy(set) == set->count,
                                        .tried = tried,
                                        .tried_count = tried_count,
                                        .random = &generator,
                                        .turn = next_turn++,
                                        .hash = hash,
                                        .now_ms = now_ms };

    return balancer_pick(&request, ret_trial);
}

static int index_of(const struct endpoint *endpoint)
{
    return endpoint ? sockaddr_port(&endpoint->address.any) - 1 : -1;
}

static int pick(void)
{
    uint64_t trial;

    return index_of(pick_for(0, NULL, 0, 0, &trial));
}

static void count_picks(unsigned total, unsigned *counts)
{
    memset(counts, 0, MOST * sizeof *counts);
    for (unsigned i = 0; i < total; i++)
        counts[pick()]++;
}

static void test_round_robin_is_an_exact_rotation(void **state)
{
    (void)state;
    begin(LB_ROUND_ROBIN);
    make_set(3, NULL);
    for (int i = 0; i < 300; i++)
        assert_int_equal(pick(), i % 3);
}

static void test_round_robin_by_weight_is_exact_and_smooth(void **state)
{
    static const unsigned weights[] = { 5, 1, 1 }, even[] = { 10, 20, 30 };
    unsigned counts[MOST];
    int last = -1, run = 0, longest = 0;

    (void)state;
    begin(LB_ROUND_ROBIN);
    make_set(3, weights);
    for (int i = 0; i < 7; i++) {
        int chosen = pick();

        run = chosen == last ? run + 1 : 1;
        last = chosen;
        longest = run > longest ? run : longest;
    }
    assert_true(longest <= 2); /* not five in a row */
    count_picks(7000, counts);
    assert_int_equal(counts[0], 5000);
    assert_int_equal(counts[1], 1000);
    assert_int_equal(counts[2], 1000);
    tear_down(NULL);
    make_set(3, even); /* the same as 1, 2, 3 */
    assert_int_equal(set->levels[0].sequence_length, 6);
    count_picks(6000, counts);
    assert_int_equal(counts[0], 1000);
    assert_int_equal(counts[1], 2000);
    assert_int_equal(counts[2], 3000);
}

static void test_weights_whose_sum_is_large_keep_their_shares(void **state)
{
    unsigned weights[MOST], counts[MOST];

    (void)state;
    begin(LB_ROUND_ROBIN);
    for (unsigned i = 0; i < MOST; i++)
        weights[i] = 1000 - i; /* 62,000 in all */
    make_set(MOST, weights);
    assert_true(set->levels[0].sequence_length <= 16384);
    count_picks((unsigned)set->levels[0].sequence_length * 10, counts);
    for (unsigned i = 0; i < MOST; i++)
        assert_in_range(counts[i] * 1000 / counts[0], weights[i] - 15, weights[i] + 15);
}

static void test_random_is_by_weight(void **state)
{
    static const unsigned weights[] = { 1, 2, 5 };
    unsigned counts[MOST];

    (void)state;
    begin(LB_RANDOM);
    make_set(3, weights);
    count_picks(80000, counts);
    assert_in_range(counts[0], 9500, 10500);
    assert_in_range(counts[1], 19400, 20600);
    assert_in_range(counts[2], 49300, 50700);
}

/* Every connection stays, so the counts are what was chosen. */
static void test_least_connections_is_even_and_by_weight(void **state)
{
    static const unsigned weights[] = { 1, 1, 2 };
    unsigned counts[MOST];

    (void)state;
    begin(LB_LEAST_CONNECTIONS);
    make_set(10, NULL);
    for (int i = 0; i < 10000; i++)
        slots[pick()].endpoint->active++;
    for (int i = 0; i < 10; i++)
        assert_in_range(slots[i].endpoint->active, 990, 1010);
    slots[3].endpoint->active = 5000; /* a slow one */
    count_picks(1000, counts);
    assert_int_equal(counts[3], 0);
    tear_down(NULL);
    make_set(3, weights);
    for (int i = 0; i < 10000; i++)
        slots[pick()].endpoint->active++;
    assert_in_range(slots[0].endpoint->active, 2450, 2550);
    assert_in_range(slots[2].endpoint->active, 4900, 5100);
}

static void test_source_hash_moves_only_what_a_lost_endpoint_had(void **state)
{
    unsigned counts[MOST] = { 0 }, moved = 0;
    static int before[10000];
    uint64_t trial;

    (void)state;
    begin(LB_SOURCE_HASH);
    config.outlier_detection.panic_threshold = 0;
    make_set(5, NULL);
    for (uint64_t i = 0; i < 10000; i++) {
        before[i] = index_of(pick_for(i, NULL, 0, 0, &trial));
        counts[before[i]]++;
        assert_int_equal(index_of(pick_for(i, NULL, 0, 0, &trial)), before[i]);
    }
    for (int i = 0; i < 5; i++)
        assert_in_range(counts[i], 1850, 2150);
    eject(2);
    for (uint64_t i = 0; i < 10000; i++) {
        int after = index_of(pick_for(i, NULL, 0, 0, &trial));

        assert_int_not_equal(after, 2);
        if (before[i] != 2)
            assert_int_equal(after, before[i]);
        else
            moved++;
    }
    assert_int_equal(moved, counts[2]);
}

static void test_source_hash_is_by_weight(void **state)
{
    static const unsigned weights[] = { 1, 3 };
    unsigned counts[MOST] = { 0 };
    uint64_t trial;

    (void)state;
    begin(LB_SOURCE_HASH);
    make_set(2, weights);
    for (uint64_t i = 0; i < 20000; i++)
        counts[index_of(pick_for(i, NULL, 0, 0, &trial))]++;
    assert_in_range(counts[1], 14700, 15300);
}

static void test_every_strategy_tries_each_endpoint_once(void **state)
{
    (void)state;
    for (enum lb_policy policy = 0; policy <= LB_SOURCE_HASH; policy++) {
        begin(policy);
        make_set(7, NULL);
        for (int round = 0; round < 200; round++) {
            struct endpoint *tried[8];
            uint64_t trial;
            unsigned seen = 0;

            for (size_t i = 0; i < 7; i++) {
                tried[i] = pick_for((uint64_t)round, tried, i, 0, &trial);
                assert_non_null(tried[i]);
                seen |= 1u << index_of(tried[i]);
            }
            assert_int_equal(seen, 0x7f);
            assert_null(pick_for((uint64_t)round, tried, 7, 0, &trial));
        }
        tear_down(NULL);
    }
}

static void test_round_robin_retries_have_the_next_turns(void **state)
{
    struct endpoint *tried[3];
    uint64_t trial;

    (void)state;
    begin(LB_ROUND_ROBIN);
    make_set(3, NULL);
    for (unsigned turn = 0; turn < 9; turn++) {
        for (size_t i = 0; i < 3; i++) {
            next_turn = turn;
            tried[i] = pick_for(0, tried, i, 0, &trial);
            assert_int_equal(index_of(tried[i]), (turn + i) % 3);
        }
    }
}

static void test_priorities_fail_over_and_back(void **state)
{
    struct endpoint *tried[3];
    uint64_t trial;

    (void)state;
    begin(LB_ROUND_ROBIN);
    make_set(4, NULL);
    endpoint_set_unref(set);
    slots[0].priority = 1;
    slots[2].priority = 1;
    assert_int_equal(endpoint_set_new(slots, 4, &set), 0);
    for (int i = 0; i < 20; i++)
        assert_int_equal(pick() % 2, 1);
    tried[0] = slots[1].endpoint;
    tried[1] = slots[3].endpoint;
    assert_int_equal(index_of(pick_for(0, tried, 2, 0, &trial)) % 2, 0); /* all of the first were tried */
    eject(1);
    assert_int_equal(pick(), 3); /* one of two is enough at 50 % */
    eject(3);
    for (int i = 0; i < 20; i++)
        assert_int_equal(pick() % 2, 0);
    assert_true(outlier_take_trial(&slots[1].endpoint->outlier, &config.outlier_detection, 100000) != 0);
    assert_true(outlier_succeed(&slots[1].endpoint->outlier, &config.outlier_detection,
                                slots[1].endpoint->outlier.until_ms, 100000));
    assert_int_equal(pick(), 1);
}

static void test_own_zone_comes_first_and_others_take_over(void **state)
{
    struct endpoint *tried[2];
    uint64_t trial;

    (void)state;
    begin(LB_LEAST_CONNECTIONS);
    make_set(4, NULL);
    endpoint_set_unref(set);
    slots[1].is_near = slots[2].is_near = true;
    assert_int_equal(endpoint_set_new(slots, 4, &set), 0);
    for (int i = 0; i < 50; i++)
        assert_in_range(pick(), 1, 2);
    tried[0] = slots[1].endpoint;
    tried[1] = slots[2].endpoint;
    assert_int_equal(index_of(pick_for(0, tried, 2, 0, &trial)) % 3, 0);
    eject(1);
    for (int i = 0; i < 50; i++)
        assert_int_equal(pick(), 2);
    eject(2);
    for (int i = 0; i < 50; i++)
        assert_int_equal(pick() % 3, 0);
}

static void test_panic_uses_all_when_too_few_are_healthy(void **state)
{
    unsigned counts[MOST];

    (void)state;
    begin(LB_ROUND_ROBIN);
    make_set(4, NULL);
    eject(0);
    eject(1);
    count_picks(100, counts);
    assert_int_equal(counts[0] + counts[1], 0); /* half are left: enough */
    eject(2);
    count_picks(100, counts);
    for (int i = 0; i < 4; i++)
        assert_int_equal(counts[i], 25);
    config.outlier_detection.panic_threshold = 0;
    count_picks(100, counts);
    assert_int_equal(counts[3], 100);
    eject(3);
    assert_int_equal(pick(), -1); /* nothing, and no panic wanted */
}

static void test_trial_goes_to_one_connection_alone(void **state)
{
    uint64_t trial, other;

    (void)state;
    begin(LB_ROUND_ROBIN);
    make_set(3, NULL);
    eject(1);
    assert_int_not_equal(index_of(pick_for(0, NULL, 0, 900, &trial)), 1);
    assert_int_equal(trial, 0);
    assert_int_equal(index_of(pick_for(0, NULL, 0, 1200, &trial)), 1);
    assert_int_not_equal(trial, 0);
    for (int i = 0; i < 20; i++) {
        assert_int_not_equal(index_of(pick_for(0, NULL, 0, 1200, &other)), 1);
        assert_int_equal(other, 0);
    }
}

static void test_slow_start_gives_a_new_endpoint_little_at_first(void **state)
{
    unsigned counts[MOST] = { 0 };
    uint64_t trial;

    (void)state;
    for (enum lb_policy policy = LB_ROUND_ROBIN; policy <= LB_RANDOM; policy++) {
        begin(policy);
        config.load_balancing.slow_start_ms = 10000;
        make_set(2, NULL);
        slots[1].endpoint->added_ms = 100000;
        memset(counts, 0, sizeof counts);
        for (int i = 0; i < 10000; i++)
            counts[index_of(pick_for(0, NULL, 0, 100000, &trial))]++;
        assert_in_range(counts[1], 300, 1200);
        memset(counts, 0, sizeof counts);
        for (int i = 0; i < 10000; i++)
            counts[index_of(pick_for(0, NULL, 0, 105000, &trial))]++;
        assert_in_range(counts[1], 2000, 4000);
        memset(counts, 0, sizeof counts);
        for (int i = 0; i < 10000; i++)
            counts[index_of(pick_for(0, NULL, 0, 110000, &trial))]++;
        assert_in_range(counts[1], 4800, 5200);
        tear_down(NULL);
    }
}

static void test_empty_set_has_no_endpoint(void **state)
{
    (void)state;
    begin(LB_LEAST_CONNECTIONS);
    make_set(0, NULL);
    assert_int_equal(pick(), -1);
    assert_int_equal(balancer_count_healthy(set), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_round_robin_is_an_exact_rotation, tear_down),
        cmocka_unit_test_teardown(test_round_robin_by_weight_is_exact_and_smooth, tear_down),
        cmocka_unit_test_teardown(test_weights_whose_sum_is_large_keep_their_shares, tear_down),
        cmocka_unit_test_teardown(test_random_is_by_weight, tear_down),
        cmocka_unit_test_teardown(test_least_connections_is_even_and_by_weight, tear_down),
        cmocka_unit_test_teardown(test_source_hash_moves_only_what_a_lost_endpoint_had, tear_down),
        cmocka_unit_test_teardown(test_source_hash_is_by_weight, tear_down),
        cmocka_unit_test_teardown(test_every_strategy_tries_each_endpoint_once, tear_down),
        cmocka_unit_test_teardown(test_round_robin_retries_have_the_next_turns, tear_down),
        cmocka_unit_test_teardown(test_priorities_fail_over_and_back, tear_down),
        cmocka_unit_test_teardown(test_own_zone_comes_first_and_others_take_over, tear_down),
        cmocka_unit_test_teardown(test_panic_uses_all_when_too_few_are_healthy, tear_down),
        cmocka_unit_test_teardown(test_trial_goes_to_one_connection_alone, tear_down),
        cmocka_unit_test_teardown(test_slow_start_gives_a_new_endpoint_little_at_first, tear_down),
        cmocka_unit_test_teardown(test_empty_set_has_no_endpoint, tear_down),
    };

    return RUN_TESTS(tests);
}

/* So many a second and no more, whatever the pauses; what was not used is there for the next. */
#include "tests/unit/unit.h"

#include "proxy/policy/accept_rate.h"

static uint64_t take(struct accept_rate *rate, uint64_t now_ms)
{
    uint64_t taken_ns;

    return accept_rate_take(rate, now_ms, &taken_ns);
}

/* How many are taken from `from_ms` up to before `to_ms`, by somebody who asks again when told. */
static unsigned take_all(struct accept_rate *rate, uint64_t from_ms, uint64_t to_ms)
{
    unsigned taken = 0;

    while (from_ms < to_ms) {
        uint64_t wait_ms = take(rate, from_ms);

        if (wait_ms == 0)
            taken++;
        from_ms += wait_ms;
    }
    return taken;
}

static void test_accept_rate_no_limit_never_waits(void **state)
{
    struct accept_rate rate = { 0 };

    (void)state;
    rate.per_second = 0;
    for (int i = 0; i < 1000; i++)
        assert_int_equal(take(&rate, 5), 0);
}

static void test_accept_rate_is_exact_over_time(void **state)
{
    static const uint64_t rates[] = { 1, 3, 7, 10, 100, 2000, 50000 };

    (void)state;
    for (size_t i = 0; i < sizeof rates / sizeof rates[0]; i++) {
        struct accept_rate rate = { 0 };
        unsigned taken;

        rate.per_second = rates[i];
        taken = take_all(&rate, 1000000, 1010000);
        assert_in_range(taken, rates[i] * 10, rates[i] * 10 + rates[i] / 10 + 1);
    }
}

static void test_accept_rate_after_a_pause_gives_a_tenth_of_a_second_at_once(void **state)
{
    struct accept_rate rate = { 0 };

    (void)state;
    rate.per_second = 100;
    take_all(&rate, 1000, 5000);
    assert_int_equal(take_all(&rate, 60000, 60001), 10);
    assert_int_equal(take(&rate, 60000), 10);
    rate.per_second = 2;
    assert_int_equal(take_all(&rate, 90000, 90001), 1);
    assert_int_equal(take(&rate, 90000), 500);
}

static void test_accept_rate_what_is_given_back_is_there_again(void **state)
{
    struct accept_rate rate = { 0 };
    uint64_t taken_ns;

    (void)state;
    rate.per_second = 1;
    for (int i = 0; i < 50; i++) {
        assert_int_equal(accept_rate_take(&rate, 7000, &taken_ns), 0);
        accept_rate_give(&rate, taken_ns);
    }
    assert_int_equal(take(&rate, 7000), 0);
    assert_int_equal(take(&rate, 7000), 1000);
}

/* Regression: what was taken without a limit and given back with one made the next wait for centuries. */
static void test_accept_rate_change_between_take_and_give_changes_nothing(void **state)
{
    struct accept_rate rate = { 0 };
    uint64_t taken_ns;

    (void)state;
    assert_int_equal(accept_rate_take(&rate, 1000, &taken_ns), 0);
    rate.per_second = 1;
    accept_rate_give(&rate, taken_ns);
    assert_int_equal(take(&rate, 1000), 0);
    assert_int_equal(take(&rate, 1000), 1000);
}

static void test_accept_rate_change_is_in_force_at_once(void **state)
{
    struct accept_rate rate = { 0 };

    (void)state;
    rate.per_second = 1;
    assert_int_equal(take(&rate, 1000), 0);
    rate.per_second = 0;
    assert_int_equal(take(&rate, 1000), 0);
    rate.per_second = 1000;
    assert_int_equal(take_all(&rate, 5000, 6000), 1099); /* and 99 at once */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_accept_rate_no_limit_never_waits),
        cmocka_unit_test(test_accept_rate_is_exact_over_time),
        cmocka_unit_test(test_accept_rate_after_a_pause_gives_a_tenth_of_a_second_at_once),
        cmocka_unit_test(test_accept_rate_what_is_given_back_is_there_again),
        cmocka_unit_test(test_accept_rate_change_between_take_and_give_changes_nothing),
        cmocka_unit_test(test_accept_rate_change_is_in_force_at_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

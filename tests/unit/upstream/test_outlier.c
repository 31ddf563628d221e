/* When an endpoint is ejected, for how long, that one trial decides, and what a retry costs. The clock is injected. */
#include "tests/unit/unit.h"

#include <pthread.h>

#include "proxy/upstream/outlier.h"
#include "proxy/upstream/retry_budget.h"

static const struct outlier_config config = {
    .consecutive_failures = 3, .base_ejection_ms = 1000, .max_ejection_ms = 5000, .max_ejected = 5000
};

static struct random generator;

static void test_outlier_failures_in_a_row_reach_the_limit(void **state)
{
    struct outlier outlier = { 0 };

    (void)state;
    assert_false(outlier_count_failure(&outlier, &config));
    assert_false(outlier_count_failure(&outlier, &config));
    assert_false(outlier_succeed(&outlier, &config, 0, 0)); /* a success in between */
    assert_false(outlier_count_failure(&outlier, &config));
    assert_false(outlier_count_failure(&outlier, &config));
    assert_true(outlier_count_failure(&outlier, &config));
}

static void test_outlier_without_a_limit_is_never_reached(void **state)
{
    static const struct outlier_config off = { .consecutive_failures = 0 };
    struct outlier outlier = { 0 };

    (void)state;
    for (int i = 0; i < 100; i++)
        assert_false(outlier_count_failure(&outlier, &off));
}

static void test_outlier_ejections_double_with_jitter_up_to_the_longest(void **state)
{
    static const uint64_t least_ms[] = { 1000, 2000, 4000, 5000, 5000 }, most_ms[] = { 1100, 2200, 4400, 5000, 5000 };
    struct outlier outlier = { 0 };
    uint64_t now_ms = 100;

    (void)state;
    random_init(&generator, 3);
    for (size_t i = 0; i < 5; i++) {
        uint64_t time_ms = outlier_eject(&outlier, &config, now_ms, &generator), trial;

        assert_in_range(time_ms, least_ms[i], most_ms[i]);
        assert_int_equal(outlier_eject(&outlier, &config, now_ms, &generator), 0); /* it is open */
        assert_int_equal(outlier_take_trial(&outlier, &config, now_ms + time_ms - 1), 0);
        now_ms += time_ms;
        trial = outlier_take_trial(&outlier, &config, now_ms);
        assert_int_not_equal(trial, 0);
        assert_int_equal(outlier_state(&outlier), OUTLIER_HALF_OPEN);
    }
    assert_int_equal(outlier.ejected, 5);
}

static void test_outlier_trial_that_succeeds_closes_and_success_forgets_slowly(void **state)
{
    struct outlier outlier = { 0 };
    uint64_t time_ms, trial, now_ms = 0;

    (void)state;
    random_init(&generator, 3);
    for (int i = 0; i < 2; i++) { /* the second one is longer */
        time_ms = outlier_eject(&outlier, &config, now_ms, &generator);
        now_ms += time_ms;
        trial = outlier_take_trial(&outlier, &config, now_ms);
        assert_false(outlier_succeed(&outlier, &config, 0, now_ms)); /* another connection's */
        assert_true(outlier_succeed(&outlier, &config, trial, now_ms));
        assert_true(outlier_is_closed(&outlier));
    }
    assert_int_equal(outlier.ejections, 2);
    for (int i = 0; i < 1000; i++) /* a burst counts once */
        outlier_succeed(&outlier, &config, 0, now_ms + 1000);
    assert_int_equal(outlier.ejections, 1);
    outlier_succeed(&outlier, &config, 0, now_ms + 2000);
    assert_int_equal(outlier.ejections, 0);
    assert_in_range(outlier_eject(&outlier, &config, now_ms, &generator), 1000, 1100);
}

static void test_outlier_trial_without_an_outcome_gives_way(void **state)
{
    struct outlier outlier = { 0 };
    uint64_t first, second;

    (void)state;
    random_init(&generator, 3);
    outlier_eject(&outlier, &config, 0, &generator);
    first = outlier_take_trial(&outlier, &config, 1200);
    assert_int_not_equal(first, 0);
    outlier_abandon_trial(&outlier, first, 1300); /* its client went away */
    second = outlier_take_trial(&outlier, &config, 1300);
    assert_int_not_equal(second, 0);
    outlier_abandon_trial(&outlier, first, 1400); /* too late to count */
    assert_int_equal(outlier_take_trial(&outlier, &config, 1400), 0);
    assert_int_not_equal(outlier_take_trial(&outlier, &config, 1300 + 1000), 0); /* never heard of again */
    assert_false(outlier_succeed(&outlier, &config, second, 2400));
}

struct race {
    struct outlier outlier;
    pthread_barrier_t barrier;
    atomic_uint trials;
};

static void *take(void *argument)
{
    struct race *race = argument;

    pthread_barrier_wait(&race->barrier);
    if (outlier_take_trial(&race->outlier, &config, 2000) != 0)
        atomic_fetch_add(&race->trials, 1);
    return NULL;
}

static void test_outlier_of_many_threads_one_has_the_trial(void **state)
{
    (void)state;
    random_init(&generator, 3);
    for (int round = 0; round < 200; round++) {
        struct race race = { 0 };
        pthread_t threads[4];

        pthread_barrier_init(&race.barrier, NULL, 4);
        outlier_eject(&race.outlier, &config, 0, &generator);
        for (int i = 0; i < 4; i++)
            assert_int_equal(pthread_create(&threads[i], NULL, take, &race), 0);
        for (int i = 0; i < 4; i++)
            pthread_join(threads[i], NULL);
        pthread_barrier_destroy(&race.barrier);
        assert_int_equal(race.trials, 1);
    }
}

static unsigned take_all(struct retry_budget *budget, const struct retry_budget_config *budget_config,
                         unsigned connections, uint64_t now_ms)
{
    unsigned taken = 0;

    while (retry_budget_take(budget, budget_config, connections, now_ms))
        taken++;
    return taken;
}

static void test_retry_budget_has_a_burst_then_what_is_earned(void **state)
{
    static const struct retry_budget_config plan = {
        .percent = 2000, .min_per_second = 3, .burst = 100, .window_ms = 10000
    };
    struct retry_budget budget;

    (void)state;
    retry_budget_init(&budget, &plan, 5000);
    assert_int_equal(take_all(&budget, &plan, 0, 5000), 100);
    assert_int_equal(take_all(&budget, &plan, 50, 5000), 10); /* a fifth of the connections */
    assert_int_equal(take_all(&budget, &plan, 50, 7000), 6);  /* three a second */
    assert_int_equal(take_all(&budget, &plan, 1050, 8000), 203);
    /* Regression: an older count, of a thread that came later, earned four thousand million connections. */
    assert_int_equal(take_all(&budget, &plan, 1049, 8000), 0);
    retry_budget_done(&budget);
}

/* When everything fails, attempts <= 1.2 x offered + 3/s + burst. */
static void test_retry_budget_bounds_amplification(void **state)
{
    static const struct retry_budget_config plan = { .percent = 2000, .min_per_second = 3, .burst = 100 };
    struct retry_budget budget;
    unsigned retries = 0, offered = 0;

    (void)state;
    retry_budget_init(&budget, &plan, 0);
    for (uint64_t now_ms = 0; now_ms < 60000; now_ms++) {
        offered += 2; /* 2000 a second */
        for (int i = 0; i < 4; i++)
            retries += retry_budget_take(&budget, &plan, offered, now_ms);
    }
    assert_in_range(retries, offered / 5 + 160, offered / 5 + 3 * 60 + 100);
    retry_budget_done(&budget);
}

static void test_retry_budget_saves_no_more_than_two_windows(void **state)
{
    static const struct retry_budget_config plan = {
        .percent = 2000, .min_per_second = 3, .burst = 100, .window_ms = 10000
    };
    struct retry_budget budget;

    (void)state;
    retry_budget_init(&budget, &plan, 0);
    assert_in_range(take_all(&budget, &plan, 0, 3600000), 100, 100 + 30); /* an hour of silence */
    assert_in_range(take_all(&budget, &plan, 3600 * 1000, 2 * 3600000), 100, 100 + 30 + 2000);
    retry_budget_done(&budget);
}

/* Regression: an outage after ten seconds of peace had what those had earned on top. */
static void test_retry_budget_without_a_window_saves_no_more_than_the_burst(void **state)
{
    static const struct retry_budget_config plan = { .percent = 2000, .min_per_second = 3, .burst = 100 },
                                            no_burst = { .percent = 2000, .min_per_second = 3 };
    struct retry_budget budget;

    (void)state;
    retry_budget_init(&budget, &plan, 0);
    assert_int_equal(take_all(&budget, &plan, 3600 * 1000, 3600000), 100);
    assert_int_equal(take_all(&budget, &plan, 3600 * 1000 + 100, 3600000), 20);
    retry_budget_done(&budget);
    retry_budget_init(&budget, &no_burst, 0);
    assert_int_equal(take_all(&budget, &no_burst, 0, 0), 0);
    assert_int_equal(take_all(&budget, &no_burst, 5, 0), 1);
    assert_int_equal(take_all(&budget, &no_burst, 1000, 0), 1);
    retry_budget_done(&budget);
}

static void test_retry_budget_of_nothing_allows_nothing(void **state)
{
    static const struct retry_budget_config plan = { .window_ms = 1000 };
    struct retry_budget budget;

    (void)state;
    retry_budget_init(&budget, &plan, 0);
    assert_int_equal(take_all(&budget, &plan, 1000000, 100000), 0);
    retry_budget_done(&budget);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_outlier_failures_in_a_row_reach_the_limit),
        cmocka_unit_test(test_outlier_without_a_limit_is_never_reached),
        cmocka_unit_test(test_outlier_ejections_double_with_jitter_up_to_the_longest),
        cmocka_unit_test(test_outlier_trial_that_succeeds_closes_and_success_forgets_slowly),
        cmocka_unit_test(test_outlier_trial_without_an_outcome_gives_way),
        cmocka_unit_test(test_outlier_of_many_threads_one_has_the_trial),
        cmocka_unit_test(test_retry_budget_has_a_burst_then_what_is_earned),
        cmocka_unit_test(test_retry_budget_bounds_amplification),
        cmocka_unit_test(test_retry_budget_saves_no_more_than_two_windows),
        cmocka_unit_test(test_retry_budget_without_a_window_saves_no_more_than_the_burst),
        cmocka_unit_test(test_retry_budget_of_nothing_allows_nothing),
    };

    return RUN_TESTS(tests);
}

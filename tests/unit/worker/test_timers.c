/* Exact timers fire in order and not before their time; lazy ones within a tick or, far ahead, early; none fires twice.
 */
#include "tests/unit/unit.h"

#include <stdlib.h>

#include "base/random.h"
#include "proxy/worker/timers.h"

#define COUNT 2000

struct watched {
    struct timer timer;
    unsigned fired;
    uint64_t fired_ms;
};

static uint64_t last_deadline_ms;

static void on_fire(struct timer *timer, uint64_t now_ms)
{
    struct watched *watched = CONTAINER_OF(timer, struct watched, timer);

    watched->fired++;
    watched->fired_ms = now_ms;
}

static void on_fire_in_order(struct timer *timer, uint64_t now_ms)
{
    assert_true(timer->deadline_ms >= last_deadline_ms);
    assert_true(timer->deadline_ms <= now_ms);
    last_deadline_ms = timer->deadline_ms;
    on_fire(timer, now_ms);
}

static void test_timers_exact_fire_in_order_and_never_early(void **state)
{
    static struct watched watched[COUNT];
    struct timers timers;
    struct random random;
    unsigned expected = COUNT, fired = 0;

    (void)state;
    random_init(&random, 42);
    timers_init(&timers, NULL, 1000);
    for (size_t i = 0; i < COUNT; i++) {
        watched[i] = (struct watched){ .timer.fire = on_fire_in_order };
        timers_arm_exact(&timers, &watched[i].timer, 1000 + random_below(&random, 500));
    }
    for (size_t i = 0; i < COUNT; i += 3) { /* some are moved, some taken out */
        if (i % 2 == 0) {
            timers_arm_exact(&timers, &watched[i].timer, 1000 + random_below(&random, 500));
        } else {
            timers_cancel(&timers, &watched[i].timer);
            timers_cancel(&timers, &watched[i].timer);
            expected--;
        }
    }
    last_deadline_ms = 0;
    for (uint64_t now_ms = 1000; now_ms < 1500; now_ms += 7)
        timers_run(&timers, now_ms);
    timers_run(&timers, 1500);
    for (size_t i = 0; i < COUNT; i++) {
        assert_true(watched[i].fired <= 1);
        fired += watched[i].fired;
    }
    assert_int_equal(fired, expected);
    assert_null(timers.earliest);
}

static void test_timers_lazy_fire_within_a_tick(void **state)
{
    static struct watched watched[COUNT];
    struct timers timers;
    struct random random;

    (void)state;
    random_init(&random, 43);
    timers_init(&timers, NULL, 5000);
    for (size_t i = 0; i < COUNT; i++) {
        watched[i] = (struct watched){ .timer.fire = on_fire };
        timers_arm_lazy(&timers, &watched[i].timer, 5000 + random_below(&random, 40000), 5000);
    }
    for (uint64_t now_ms = 5000; now_ms <= 50000; now_ms += TIMERS_TICK_MS)
        timers_run(&timers, now_ms);
    for (size_t i = 0; i < COUNT; i++) {
        assert_int_equal(watched[i].fired, 1);
        assert_true(watched[i].fired_ms >= watched[i].timer.deadline_ms);
        assert_true(watched[i].fired_ms <= watched[i].timer.deadline_ms + 2 * TIMERS_TICK_MS);
    }
    assert_int_equal(timers.on_wheel, 0);
}

static void test_timers_lazy_beyond_the_horizon_fires_early(void **state)
{
    struct watched watched = { .timer.fire = on_fire };
    struct timers timers;

    (void)state;
    timers_init(&timers, NULL, 0);
    timers_arm_lazy(&timers, &watched.timer, 3600000, 0);
    for (uint64_t now_ms = 0; now_ms <= (uint64_t)TIMERS_SLOTS * TIMERS_TICK_MS; now_ms += TIMERS_TICK_MS)
        timers_run(&timers, now_ms);
    assert_int_equal(watched.fired, 1);
    assert_true(watched.fired_ms < 3600000);
}

static struct timers *rearming;

static void on_rearm(struct timer *timer, uint64_t now_ms)
{
    on_fire(timer, now_ms);
    timers_arm_lazy(rearming, timer, now_ms, now_ms);
}

static void test_timers_lazy_armed_again_while_firing_waits_for_the_next_tick(void **state)
{
    struct watched watched = { .timer.fire = on_rearm };
    struct timers timers;

    (void)state;
    rearming = &timers;
    timers_init(&timers, NULL, 0);
    timers_arm_lazy(&timers, &watched.timer, 50, 0);
    timers_run(&timers, 100);
    assert_int_equal(watched.fired, 1);
    timers_run(&timers, 200);
    assert_int_equal(watched.fired, 2);
    timers_cancel(&timers, &watched.timer);
    timers_run(&timers, 1000000); /* after a long stop */
    assert_int_equal(watched.fired, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_timers_exact_fire_in_order_and_never_early),
        cmocka_unit_test(test_timers_lazy_fire_within_a_tick),
        cmocka_unit_test(test_timers_lazy_beyond_the_horizon_fires_early),
        cmocka_unit_test(test_timers_lazy_armed_again_while_firing_waits_for_the_next_tick),
    };

    return RUN_TESTS(tests);
}

/* Faults are drawn as often as configured, are told in words, and a pace lets through exactly its rate. */
#include "tests/unit/unit.h"

#include <string.h>

#include "base/macros.h"
#include "proxy/policy/faults.h"

static const struct faults_config nothing;

static void assert_text(struct faults *faults, const char *expected)
{
    struct strbuf text;

    strbuf_init(&text, 512);
    faults_append_text(faults, &text);
    assert_string_equal(text.text, expected);
    strbuf_done(&text);
}

static void test_faults_set_and_clear_are_told_in_the_words_of_the_command(void **state)
{
    const struct faults_config all = { .delay = { 1250, 200 },
                                       .refuse = { 500 },
                                       .reset = { 100, 4096 },
                                       .bandwidth = 65536 },
                               configured = { .refuse = { 10000 } }, no_time = { .delay = { 10000, 0 } };
    struct faults faults;

    (void)state;
    faults_init(&faults, &nothing);
    assert_false(faults_are_on(&faults));
    assert_text(&faults, "none");
    faults_set(&faults, &all);
    assert_true(faults_are_on(&faults));
    assert_text(&faults, "delay=12.5%:200ms refuse=5% reset=1%:4KiB bandwidth=64KiB");
    faults_set(&faults, &configured);
    assert_true(faults_are_on(&faults));
    assert_text(&faults, "refuse=100%");
    faults_set(&faults, &no_time);
    assert_false(faults_are_on(&faults));
    faults_done(&faults);
}

static void test_faults_draw_takes_the_percentages(void **state)
{
    const struct faults_config config = { .delay = { 2500, 10 }, .refuse = { 100 }, .reset = { 10000, 7 } };
    unsigned counts[FAULT_KIND_COUNT] = { 0 };
    struct faults faults;
    struct random random;

    (void)state;
    random_init(&random, 5);
    faults_init(&faults, &config);
    for (int i = 0; i < 100000; i++) {
        struct fault_plan plan;

        faults_draw(&faults, &random, &plan);
        for (enum fault_kind kind = 0; kind < FAULT_KIND_COUNT; kind++)
            counts[kind] += plan.kinds[kind];
    }
    assert_in_range(counts[FAULT_DELAY], 24500, 25500);
    assert_in_range(counts[FAULT_REFUSE], 900, 1100);
    assert_int_equal(counts[FAULT_RESET], 100000);
    assert_int_equal(counts[FAULT_BANDWIDTH], 0);
    faults_done(&faults);
}

static uint64_t passed_in(uint64_t bytes_per_second, uint64_t ms)
{
    struct fault_pace pace;
    uint64_t passed = 0, now_ms = 1000;

    fault_pace_init(&pace, bytes_per_second, now_ms);
    while (now_ms <= 1000 + ms) {
        size_t allowed = fault_pace_allowance(&pace, now_ms);

        fault_pace_take(&pace, allowed);
        passed += allowed;
        now_ms += fault_pace_wait_ms(&pace);
    }
    return passed;
}

static void test_fault_pace_lets_its_rate_through(void **state)
{
    static const uint64_t rates[] = { 1, 7, 100, 4096, 65536, 1 << 20, 1 << 30 };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rates); i++) {
        uint64_t passed = passed_in(rates[i], 20000), burst = MAX(rates[i] / 20, (uint64_t)1);

        assert_in_range(passed, 20 * rates[i] * 9 / 10, 20 * rates[i] + 2 * burst);
    }
}

static void test_fault_pace_after_a_long_rest_gives_no_more_than_its_bucket(void **state)
{
    struct fault_pace pace;

    (void)state;
    fault_pace_init(&pace, 1 << 30, 0);
    assert_int_equal(fault_pace_allowance(&pace, UINT64_MAX / 2), (1 << 30) / 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_faults_set_and_clear_are_told_in_the_words_of_the_command),
        cmocka_unit_test(test_faults_draw_takes_the_percentages),
        cmocka_unit_test(test_fault_pace_lets_its_rate_through),
        cmocka_unit_test(test_fault_pace_after_a_long_rest_gives_no_more_than_its_bucket),
    };

    return RUN_TESTS(tests);
}

/* Durations, sizes, percentages: what is taken, what is refused, and that formatting goes back to the same value. */
#include "tests/unit/unit.h"

#include <errno.h>

#include "base/units.h"

struct row {
    const char *text;
    int r;
    uint64_t value;
};

static void check(int (*parse)(const char *text, uint64_t *ret), const struct row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        uint64_t value = 0;
        int r = parse(rows[i].text, &value);

        if (r != rows[i].r || (r == 0 && value != rows[i].value))
            fail_msg("\"%s\": %d, %lu", rows[i].text, r, (unsigned long)value);
    }
}

static void test_units_parse_number_takes_whole_numbers_only(void **state)
{
    static const struct row rows[] = {
        { "0", 0, 0 },        { "42", 0, 42 },       { "18446744073709551615", 0, UINT64_MAX },
        { "", -EINVAL, 0 },   { "-1", -EINVAL, 0 },  { "18446744073709551616", -ERANGE, 0 },
        { "1 ", -EINVAL, 0 }, { "0x1", -EINVAL, 0 }, { "+1", -EINVAL, 0 },
    };

    (void)state;
    check(units_parse_number, rows, ARRAY_SIZE(rows));
}

static void test_units_parse_duration_needs_a_unit(void **state)
{
    static const struct row rows[] = {
        { "0", 0, 0 },
        { "250ms", 0, 250 },
        { "5s", 0, 5000 },
        { "1.5s", 0, 1500 },
        { "1h", 0, 3600000 },
        { "2d", 0, 172800000 },
        { "0.001s", 0, 1 },
        { "5", -EINVAL, 0 },
        { "s", -EINVAL, 0 },
        { "1.s", -EINVAL, 0 },
        { "0.0001s", -EINVAL, 0 },
        { "0.5ms", -EINVAL, 0 },
        { "5 s", -EINVAL, 0 },
        { "-5s", -EINVAL, 0 },
        { "5S", -EINVAL, 0 },
        { "99999999999999999999s", -ERANGE, 0 },
        { "999999999999999999h", -ERANGE, 0 },
    };

    (void)state;
    check(units_parse_duration, rows, ARRAY_SIZE(rows));
}

static void test_units_parse_size_needs_a_unit(void **state)
{
    static const struct row rows[] = {
        { "0", 0, 0 },
        { "1B", 0, 1 },
        { "64KiB", 0, 65536 },
        { "1.5MiB", 0, 1572864 },
        { "1GiB", 0, 1073741824 },
        { "64", -EINVAL, 0 },
        { "64KB", -EINVAL, 0 },
        { "64k", -EINVAL, 0 },
        { "0.5B", -EINVAL, 0 },
    };

    (void)state;
    check(units_parse_size, rows, ARRAY_SIZE(rows));
}

static void test_units_parse_percent_stays_within_a_hundred(void **state)
{
    static const struct row rows[] = {
        { "0%", 0, 0 },       { "20%", 0, 2000 },        { "12.5%", 0, 1250 },
        { "100%", 0, 10000 }, { "100.01%", -ERANGE, 0 }, { "101%", -ERANGE, 0 },
        { "20", -EINVAL, 0 }, { "0.001%", -EINVAL, 0 },
    };

    (void)state;
    check(units_parse_percent, rows, ARRAY_SIZE(rows));
}

static void test_units_format_goes_back_to_the_same_value(void **state)
{
    static const uint64_t values[] = { 0,       1,        999,      1000, 1500,  60000,   61000,
                                       3600000, 86400000, 90000000, 1024, 65536, 1572864, 1ULL << 40 };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(values); i++) {
        char text[UNITS_TEXT_SIZE];
        uint64_t value;

        units_format_duration(values[i], text);
        assert_int_equal(units_parse_duration(text, &value), 0);
        assert_int_equal(value, values[i]);
        units_format_size(values[i], text);
        assert_int_equal(units_parse_size(text, &value), 0);
        assert_int_equal(value, values[i]);
    }
    for (uint64_t percent = 0; percent <= 10000; percent++) {
        char text[UNITS_TEXT_SIZE];
        uint64_t value;

        units_format_percent(percent, text);
        assert_int_equal(units_parse_percent(text, &value), 0);
        assert_int_equal(value, percent);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_units_parse_number_takes_whole_numbers_only),
        cmocka_unit_test(test_units_parse_duration_needs_a_unit),
        cmocka_unit_test(test_units_parse_size_needs_a_unit),
        cmocka_unit_test(test_units_parse_percent_stays_within_a_hundred),
        cmocka_unit_test(test_units_format_goes_back_to_the_same_value),
    };

    return RUN_TESTS(tests);
}

/* The command line and the environment of outrigger-init: what is taken, and that everything else is refused. */
#include "tests/unit/unit.h"

#include <errno.h>
#include <getopt.h>
#include <stdlib.h>

#include "iptables/options.h"

#define PARSE(options, ...)                                                            \
    ({                                                                                 \
        const char *words[] = { "outrigger-init", __VA_ARGS__, NULL };                 \
        optind = 0;                                                                    \
        options_parse((int)ARRAY_SIZE(words) - 1, (char **)(uintptr_t)words, options); \
    })

static void test_options_defaults_capture_everything(void **state)
{
    struct options options;

    (void)state;
    assert_int_equal(PARSE(&options, "apply"), 0);
    assert_int_equal(options.outbound_port, 15001);
    assert_int_equal(options.inbound_port, 15006);
    assert_true(options.include_outbound_cidrs.all);
    assert_true(options.include_inbound_ports.all);
    assert_int_equal(options.proxy_uids.count, 1);
    assert_int_equal(options.proxy_uids.items[0], 1337);
    assert_int_equal(options.verify_timeout_ms, 5000);
    options_done(&options);
}

static void test_options_lists_and_letters_are_understood(void **state)
{
    struct options options;

    (void)state;
    assert_int_equal(PARSE(&options, "-p", "1", "-z", "2", "-u", "3,4", "-i", "10.0.0.0/8,::1", "-x", "", "-o",
                           "22,80-90", "-b", "", "-d", "9", "-n", "apply"),
                     0);
    assert_int_equal(options.proxy_uids.count, 2);
    assert_int_equal(options.include_outbound_cidrs.count, 2);
    assert_false(options.include_outbound_cidrs.all);
    assert_int_equal(options.exclude_outbound_ports.items[1].last, 90);
    assert_int_equal(options.include_inbound_ports.count, 0);
    assert_false(options.include_inbound_ports.all);
    assert_true(options.dry_run);
    assert_string_equal(options.subcommand, "apply");
    options_done(&options);
}

static void test_options_command_line_wins_over_the_environment(void **state)
{
    struct options options;

    (void)state;
    setenv("OUTRIGGER_INIT_OUTBOUND_PORT", "7", 1);
    setenv("OUTRIGGER_INIT_EXCLUDE_INBOUND_PORTS", "8,9", 1);
    assert_int_equal(PARSE(&options, "apply"), 0);
    assert_int_equal(options.outbound_port, 7);
    assert_int_equal(options.exclude_inbound_ports.count, 2);
    options_done(&options);
    assert_int_equal(PARSE(&options, "-p", "6"), 0);
    assert_int_equal(options.outbound_port, 6);
    options_done(&options);
    setenv("OUTRIGGER_INIT_OUTBOUND_PORT", "x", 1);
    assert_int_equal(PARSE(&options, "apply"), -EINVAL);
    options_done(&options);
    unsetenv("OUTRIGGER_INIT_OUTBOUND_PORT");
    unsetenv("OUTRIGGER_INIT_EXCLUDE_INBOUND_PORTS");
}

static void test_options_bad_values_are_refused(void **state)
{
    static const char *const rows[][2] = {
        { "-p", "0" },
        { "-p", "65536" },
        { "-p", "-1" },
        { "-z", "15001" },
        { "-u", "0" },
        { "-u", "root" },
        { "-u", "1,,2" },
        { "-g", "4294967296" },
        { "-i", "10.0.0.0/33" },
        { "-i", "10.0.0.1/8" },
        { "-x", "*,10.0.0.0/8" },
        { "-o", "90-80" },
        { "-b", "0" },
        { "-d", "1-65536" },
        { "--verify-timeout", "5" },
        { "--no-such", "1" },
        { "apply", "extra" },
        { "uninstall", "-n" },
        { "remove", "-n" },
        { "-x", "*" },
        { "-o", "*" },
        { "-d", "*" },
        { "--dry-run=maybe", "apply" },
    };
    struct options options;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        if (PARSE(&options, rows[i][0], rows[i][1]) != -EINVAL)
            fail_msg("%s %s was taken", rows[i][0], rows[i][1]);
        options_done(&options);
    }
    assert_int_equal(PARSE(&options, "-u", "", "-g", ""), -EINVAL);
    options_done(&options);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_options_defaults_capture_everything),
        cmocka_unit_test(test_options_lists_and_letters_are_understood),
        cmocka_unit_test(test_options_command_line_wins_over_the_environment),
        cmocka_unit_test(test_options_bad_values_are_refused),
    };

    return RUN_TESTS(tests);
}

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
    assert_int_equal(options.command, COMMAND_APPLY);
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

static void test_options_conflicting_lists_are_refused(void **state)
{
    static const char *const rows[][4] = {
        { "-b", "80,8080", "-d", "8080" },
        { "-b", "8000-8010", "-d", "7000-9000" },
        { "-q", "443", "-o", "443" },
        { "-i", "10.1.0.0/16", "-x", "10.0.0.0/8" },
        { "-i", "10.1.2.3", "-x", "10.1.2.3" },
        { "-i", "fd00::1", "-x", "::/0" },
        { "-c", "eth1", "-k", "eth1" },
        { "-u", "", "-g", "" },
        { "-p", "7", "-z", "7" },
        { "--include-outbound-gids", "7,0", "--exclude-outbound-gids", "0" },
    };
    struct options options;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        if (PARSE(&options, rows[i][0], rows[i][1], rows[i][2], rows[i][3]) != -EINVAL)
            fail_msg("%s %s %s %s was taken", rows[i][0], rows[i][1], rows[i][2], rows[i][3]);
        options_done(&options);
    }
    assert_int_equal(PARSE(&options, "-b", "8000-8010", "-d", "8005"), 0); /* less one */
    options_done(&options);
    assert_int_equal(PARSE(&options, "-i", "10.0.0.0/8", "-x", "10.1.0.0/16"), 0);
    options_done(&options);
}

static void test_options_of_istio_and_linkerd_are_understood(void **state)
{
    struct options options;

    (void)state;
    assert_int_equal(PARSE(&options, "istio-iptables", "-p", "15001", "-z", "15006", "-u", "1337", "-m", "REDIRECT",
                           "-i", "*", "-x", "", "-b", "*", "-d", "15090,15021,15020", "-f", "-t", "1337", "-r", "133",
                           "--log_output_level=default:info", "--redirect-dns=off", "--netns", ""),
                     0);
    assert_int_equal(options.command, COMMAND_APPLY);
    assert_int_equal(options.mode, MODE_REDIRECT);
    assert_int_equal(options.exclude_inbound_ports.count, 3);
    options_done(&options);
    assert_int_equal(PARSE(&options, "--incoming-proxy-port", "4143", "--outgoing-proxy-port", "4140",
                           "--inbound-ports-to-ignore", "4190, 4191,4567-4568", "--simulate", "--use-wait-flag",
                           "--timeout-close-wait-secs", "3600"),
                     0);
    assert_int_equal(options.inbound_port, 4143);
    assert_int_equal(options.outbound_port, 4140);
    assert_int_equal(options.exclude_inbound_ports.count, 3);
    assert_true(options.dry_run);
    options_done(&options);
    assert_int_equal(PARSE(&options, "istio-iptables", "--cleanup-only", "--reconcile"), 0);
    assert_int_equal(options.command, COMMAND_REMOVE);
    options_done(&options);
    assert_int_equal(PARSE(&options, "--cleanup-only=false"), 0);
    assert_int_equal(options.command, COMMAND_APPLY);
    options_done(&options);
}

static void test_options_istio_s_tunnel_port_and_owner_groups_count(void **state)
{
    struct options options;

    (void)state;
    assert_int_equal(PARSE(&options, "istio-iptables"), 0);
    assert_int_equal(options.inbound_tunnel_ports.items[0].first, 15008);
    options_done(&options);
    assert_int_equal(PARSE(&options, "istio-iptables", "-e", "15009"), 0);
    assert_int_equal(options.inbound_tunnel_ports.count, 1);
    assert_int_equal(options.inbound_tunnel_ports.items[0].first, 15009);
    options_done(&options);
    assert_int_equal(PARSE(&options, "apply"), 0);
    assert_int_equal(options.inbound_tunnel_ports.count, 0);
    assert_true(options.include_outbound_gids.all);
    options_done(&options);
    setenv("ISTIO_OUTBOUND_OWNER_GROUPS", "1000,0", 1);
    setenv("ISTIO_OUTBOUND_OWNER_GROUPS_EXCLUDE", "7", 1);
    assert_int_equal(PARSE(&options, "apply"), 0);
    assert_int_equal(options.include_outbound_gids.count, 2);
    assert_int_equal(options.exclude_outbound_gids.items[0], 7);
    options_done(&options);
    unsetenv("ISTIO_OUTBOUND_OWNER_GROUPS");
    unsetenv("ISTIO_OUTBOUND_OWNER_GROUPS_EXCLUDE");
}

static void test_options_blocks_are_their_networks_as_in_iptables(void **state)
{
    struct cidr expected;
    struct options options;
    const char *problem;

    (void)state;
    assert_int_equal(PARSE(&options, "-i", "10.1.2.3/8,fd00::1/8", "-x", "10.9.8.7/9", "-b", " * "), 0);
    assert_int_equal(cidr_parse("10.0.0.0/8", &expected, &problem), 0);
    assert_true(cidr_equal(&options.include_outbound_cidrs.items[0], &expected));
    assert_int_equal(cidr_parse("fd00::/8", &expected, &problem), 0);
    assert_true(cidr_equal(&options.include_outbound_cidrs.items[1], &expected));
    assert_true(options.include_inbound_ports.all);
    options_done(&options);
}

static void test_options_interfaces_and_ranges_in_iptables_words(void **state)
{
    struct options options;

    (void)state;
    assert_int_equal(PARSE(&options, "-c", "eth+,tun0", "-k", "k6t-*", "-o", "20:25", "-m", "TPROXY", "--drop-invalid"),
                     0);
    assert_string_equal(options.exclude_interfaces.items[0], "eth*");
    assert_string_equal(options.exclude_interfaces.items[1], "tun0");
    assert_string_equal(options.virtual_interfaces.items[0], "k6t-*");
    assert_int_equal(options.exclude_outbound_ports.items[0].last, 25);
    assert_int_equal(options.mode, MODE_TPROXY);
    assert_true(options.drop_invalid);
    options_done(&options);
    assert_int_equal(PARSE(&options, "--drop-invalid=off"), 0);
    assert_false(options.drop_invalid);
    options_done(&options);
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
        { "-i", "::ffff:10.0.0.1" },
        { "-i", ",," },
        { "-p", "15000" },
        { "-z", "15021" },
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
        { "-m", "nat" },
        { "-m", "" },
        { "-t", "0" },
        { "-r", "254" },
        { "-c", "a/b" },
        { "-c", "0123456789abcdef" },
        { "-c", "*" },
        { "-k", "et*h" },
        { "--drop-invalid=maybe", "apply" },
        { "--explain", "apply" },
        { "--to=10.0.0.1:1", "apply" },
        { "trace", "--uid=1" },
        { "--redirect-dns", "apply" },
        { "--netns", "/run/netns/x" },
        { "-o", "*" },
        { "--exclude-outbound-gids", "*" },
        { "--include-outbound-gids", "staff" },
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
        cmocka_unit_test(test_options_conflicting_lists_are_refused),
        cmocka_unit_test(test_options_of_istio_and_linkerd_are_understood),
        cmocka_unit_test(test_options_istio_s_tunnel_port_and_owner_groups_count),
        cmocka_unit_test(test_options_blocks_are_their_networks_as_in_iptables),
        cmocka_unit_test(test_options_interfaces_and_ranges_in_iptables_words),
        cmocka_unit_test(test_options_bad_values_are_refused),
    };

    return RUN_TESTS(tests);
}

/* The plan decides as the field has learned (order of rules), for connections of every kind; its text is as expected.
 */
#include "tests/unit/unit.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/sockaddr.h"
#include "iptables/plan.h"
#include "iptables/render.h"

#define MOST_WORDS 16

static void build(const char *line, struct ruleset *ruleset)
{
    static char name[] = "outrigger-init";
    char copy[256], *words[MOST_WORDS] = { name }, *rest = copy, *word;
    struct options options;
    int count = 1;

    snprintf(copy, sizeof copy, "%s", line);
    while (count < MOST_WORDS - 1 && (word = strsep(&rest, " ")))
        words[count++] = word;
    if (line[0] == '\0')
        count = 1;
    optind = 0;
    assert_int_equal(options_parse(count, words, &options), 0);
    assert_int_equal(plan_build(&options, ruleset), 0);
    options_done(&options);
}

/* Where a connection lands: "direct", or the port it is redirected to. */
static const char *landing(const struct ruleset *ruleset, enum chain chain, bool loopback, uint32_t uid,
                           const char *source, const char *host, uint16_t port)
{
    static char text[16];
    union inet_address from, to;
    const struct rule *rule;

    assert_int_equal(sockaddr_parse_host(source, 0, &from), 0);
    assert_int_equal(sockaddr_parse_host(host, port, &to), 0);
    rule = ruleset_trace(ruleset, &(struct flow){ .in_interface = chain == CHAIN_INBOUND ? "eth0" : NULL,
                                                  .out_interface = chain == CHAIN_INBOUND ? NULL
                                                                   : loopback             ? "lo"
                                                                                          : "eth0",
                                                  .uid = uid,
                                                  .gid = uid,
                                                  .source = &from.any,
                                                  .destination = &to.any });
    if (!rule || rule->verdict == VERDICT_RETURN)
        return "direct";
    snprintf(text, sizeof text, "%u", rule->port);
    return text;
}

struct probe {
    const char *options;
    enum chain chain;
    bool loopback;
    uint32_t uid;
    const char *source, *host;
    uint16_t port;
    const char *lands;
};

static void test_plan_connections_land_where_they_should(void **state)
{
    static const struct probe probes[] = {
        { "", CHAIN_OUTBOUND, false, 1000, "10.0.0.1", "10.9.9.9", 80, "15001" },
        { "", CHAIN_OUTBOUND, false, 0, "10.0.0.1", "10.9.9.9", 80, "15001" },
        { "", CHAIN_OUTBOUND, false, 1000, "fd00::1", "2001:db8::9", 80, "15001" },
        { "", CHAIN_OUTBOUND, false, 1337, "10.0.0.1", "10.9.9.9", 80, "direct" },
        { "", CHAIN_OUTBOUND, true, 1000, "127.0.0.1", "127.0.0.1", 80, "direct" },
        { "", CHAIN_OUTBOUND, true, 1000, "10.0.0.1", "10.0.0.1", 80, "direct" },  /* the app calls its own address */
        { "", CHAIN_OUTBOUND, true, 1337, "10.0.0.1", "10.0.0.1", 80, "15006" },   /* ... its own service */
        { "", CHAIN_OUTBOUND, true, 1337, "127.0.0.6", "10.0.0.1", 80, "direct" }, /* the proxy to its app */
        { "", CHAIN_OUTBOUND, true, 1337, "::6", "fd00::1", 80, "direct" },
        { "", CHAIN_OUTBOUND, true, 1337, "fd00::1", "fd00::1", 80, "15006" },
        { "", CHAIN_OUTBOUND, true, 1337, "127.0.0.1", "127.0.0.1", 80, "direct" },
        { "", CHAIN_INBOUND, false, 0, "10.0.0.2", "10.0.0.1", 80, "15006" },
        { "", CHAIN_INBOUND, false, 0, "fd00::2", "fd00::1", 80, "15006" },
        { "", CHAIN_INBOUND, false, 0, "10.0.0.2", "10.0.0.1", 15021, "direct" },
        { "", CHAIN_INBOUND, false, 0, "10.0.0.2", "10.0.0.1", 15000, "direct" },
        { "-o 22,8000-8010", CHAIN_OUTBOUND, false, 1000, "10.0.0.1", "10.9.9.9", 8005, "direct" },
        { "-o 22,8000-8010", CHAIN_OUTBOUND, false, 1000, "10.0.0.1", "10.9.9.9", 8011, "15001" },
        { "-x 10.0.0.0/8", CHAIN_OUTBOUND, false, 1000, "10.0.0.1", "10.9.9.9", 80, "direct" },
        { "-x 10.0.0.0/8", CHAIN_OUTBOUND, false, 1000, "10.0.0.1", "11.9.9.9", 80, "15001" },
        { "-i 10.0.0.0/8", CHAIN_OUTBOUND, false, 1000, "10.0.0.1", "11.9.9.9", 80, "direct" },
        { "-i 10.0.0.0/8 -q 443", CHAIN_OUTBOUND, false, 1000, "10.0.0.1", "11.9.9.9", 443, "15001" },
        { "-i 10.0.0.0/8 -q 443 -x 11.0.0.0/8", CHAIN_OUTBOUND, false, 1000, "10.0.0.1", "11.9.9.9", 443, "direct" },
        { "-i 10.0.0.0/8", CHAIN_OUTBOUND, false, 1000, "fd00::1", "fd00::9", 80, "direct" },
        { "-b 80,8000-8010", CHAIN_INBOUND, false, 0, "10.0.0.2", "10.0.0.1", 8010, "15006" },
        { "-b 80", CHAIN_INBOUND, false, 0, "10.0.0.2", "10.0.0.1", 81, "direct" },
        { "-d 22", CHAIN_INBOUND, false, 0, "10.0.0.2", "10.0.0.1", 22, "direct" },
        { "-b 15021", CHAIN_INBOUND, false, 0, "10.0.0.2", "10.0.0.1", 15021, "direct" },
        { "-u 7 -g 8", CHAIN_OUTBOUND, false, 7, "10.0.0.1", "10.9.9.9", 80, "direct" },
        { "-u 7 -g 8", CHAIN_OUTBOUND, false, 8, "10.0.0.1", "10.9.9.9", 80, "direct" }, /* by its gid */
        { "-u 7 -g 8", CHAIN_OUTBOUND, false, 1337, "10.0.0.1", "10.9.9.9", 80, "15001" },
        { "-p 5 -z 6", CHAIN_OUTBOUND, false, 1, "10.0.0.1", "10.9.9.9", 80, "5" },
        { "-p 5 -z 6", CHAIN_INBOUND, false, 1, "10.0.0.2", "10.0.0.1", 80, "6" },
        { "--include-inbound-ports=", CHAIN_OUTBOUND, true, 1337, "10.0.0.1", "10.0.0.1", 80,
          "15006" }, /* as istio-iptables has it */
        { "-c eth0", CHAIN_OUTBOUND, false, 1000, "10.0.0.1", "10.9.9.9", 80, "direct" },
        { "-c eth+", CHAIN_INBOUND, false, 1000, "10.0.0.2", "10.0.0.1", 80, "direct" },
        { "-c eth1", CHAIN_INBOUND, false, 1000, "10.0.0.2", "10.0.0.1", 80, "15006" },
        { "-k eth0", CHAIN_INBOUND, false, 1000, "10.0.0.2", "10.9.9.9", 80, "15001" },
        { "-k eth0 -x 10.9.0.0/16", CHAIN_INBOUND, false, 1000, "10.0.0.2", "10.9.9.9", 80, "direct" },
        { "-m TPROXY", CHAIN_INBOUND, false, 1000, "10.0.0.2", "10.0.0.1", 80, "15006" },
        { "-m tproxy -d 80", CHAIN_INBOUND, false, 1000, "10.0.0.2", "10.0.0.1", 80, "direct" },
        { "-m tproxy -k eth0", CHAIN_INBOUND, false, 1000, "10.0.0.2", "10.9.9.9", 80, "15001" },
        { "-i 127.0.0.0/8", CHAIN_OUTBOUND, true, 1000, "127.0.0.1", "127.0.0.2", 80, "15001" },
        { "-i 127.0.0.0/8", CHAIN_OUTBOUND, true, 1000, "127.0.0.1", "127.0.0.1", 80, "direct" },
        { "--exclude-inbound-cidrs 10.0.0.0/8", CHAIN_INBOUND, false, 0, "10.0.0.2", "10.0.0.1", 80, "direct" },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(probes); i++) {
        const struct probe *probe = &probes[i];
        struct ruleset ruleset = { 0 };
        const char *lands;

        build(probe->options, &ruleset);
        lands = landing(&ruleset, probe->chain, probe->loopback, probe->uid, probe->source, probe->host, probe->port);
        if (strcmp(lands, probe->lands) != 0)
            fail_msg("probe %zu (%s): lands at %s, not %s", i, probe->options, lands, probe->lands);
        ruleset_done(&ruleset);
    }
}

static void test_plan_no_inbound_ports_make_no_inbound_chain(void **state)
{
    const char *words[] = { "outrigger-init", "-b", "", NULL };
    struct ruleset ruleset = { 0 };
    struct options options;

    (void)state;
    optind = 0;
    assert_int_equal(options_parse(3, (char **)(uintptr_t)words, &options), 0);
    assert_int_equal(plan_build(&options, &ruleset), 0);
    assert_false(ruleset_has_chain(&ruleset, CHAIN_INBOUND));
    assert_string_equal(landing(&ruleset, CHAIN_INBOUND, false, 0, "10.0.0.2", "10.0.0.1", 80), "direct");
    options_done(&options);
    ruleset_done(&ruleset);
}

static void test_render_script_is_as_expected(void **state)
{
    struct ruleset ruleset = { 0 };
    struct strbuf text;
    char *expected;
    size_t length;

    (void)state;
    assert_int_equal(file_read(TESTS_DIRECTORY "/golden/rules.nft", 1 << 20, &expected, &length), 0);
    build("-o 22,8000-8010 -x 10.1.0.0/16,fd00::/8 -i 10.0.0.0/8,2001:db8:1::/48 -q 443 -d 9 -b 80-90", &ruleset);
    strbuf_init(&text, 1 << 20);
    render_script(&ruleset, &text);
    assert_string_equal(text.text, expected);
    strbuf_done(&text);
    ruleset_done(&ruleset);
    free(expected);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plan_connections_land_where_they_should),
        cmocka_unit_test(test_plan_no_inbound_ports_make_no_inbound_chain),
        cmocka_unit_test(test_render_script_is_as_expected),
    };

    return RUN_TESTS(tests);
}

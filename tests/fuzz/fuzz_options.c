/*
 * Whatever stands on outrigger-init's command line is refused or planned; every planned rule, as the kernel would get
 * it, is read back as the same rule. The input is words that end with NUL.
 */
#include "tests/fuzz/fuzz.h"

#include <getopt.h>
#include <libmnl/libmnl.h>
#include <libnftnl/common.h>
#include <libnftnl/rule.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/strbuf.h"
#include "iptables/decode.h"
#include "iptables/expressions.h"
#include "iptables/options.h"
#include "iptables/plan.h"
#include "iptables/render.h"

#define MOST_WORDS 24

static void check(bool holds)
{
    if (!holds)
        abort();
}

static void check_round_trip(const struct ruleset *ruleset)
{
    static char buffer[64 * 1024];
    struct ruleset again = { 0 };
    unsigned strange = 0;

    for (size_t i = 0; i < ruleset->count; i++) {
        struct nftnl_rule *encoded = nftnl_rule_alloc();
        struct nlmsghdr *message;

        check(expressions_fill(encoded, &ruleset->rules[i]) == 0);
        message = nftnl_nlmsg_build_hdr(buffer, NFT_MSG_NEWRULE, NFPROTO_INET, 0, 1);
        nftnl_rule_nlmsg_build_payload(message, encoded);
        nftnl_rule_free(encoded);
        check(decode_message(message, &again, &strange) == 0);
    }
    check(strange == 0 && ruleset_equal(ruleset, &again));
    ruleset_done(&again);
}

static void check_plan(const struct options *options)
{
    struct ruleset ruleset = { 0 };
    struct strbuf text;
    int r = plan_build(options, &ruleset);

    if (r == 0 && ruleset.count < 200) { /* every rule is a few system calls away from the end of the second */
        strbuf_init(&text, 1 << 20);
        render_script(&ruleset, &text);
        render_explanation(&ruleset, &text);
        check(!strbuf_failed(&text));
        strbuf_done(&text);
        check_round_trip(&ruleset);
    }
    ruleset_done(&ruleset);
}

int LLVMFuzzerInitialize(int *argc, char ***argv);

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    /* The problems that are printed are not looked at; libFuzzer has kept the real stderr for itself. */
    stdout = fopen("/dev/null", "w");
    stderr = stdout;
    check(stdout != NULL);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    static char name[] = "outrigger-init";
    char *copy = malloc(length + 1), *words[MOST_WORDS + 2] = { name };
    struct options options;
    int count = 1;

    memcpy(copy, bytes, length);
    copy[length] = '\0';
    for (char *word = copy; word < copy + length && count <= MOST_WORDS; word += strlen(word) + 1)
        words[count++] = word;
    optind = 0;
    if (options_parse(count, words, &options) == 0)
        check_plan(&options);
    options_done(&options);
    free(copy);
    return 0;
}

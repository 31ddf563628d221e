/* outrigger-init: installs, verifies, shows and removes the redirect rules of this network namespace. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/interception.h"
#include "base/macros.h"
#include "base/strbuf.h"
#include "iptables/address.h"
#include "iptables/decode.h"
#include "iptables/encode.h"
#include "iptables/options.h"
#include "iptables/plan.h"
#include "iptables/render.h"
#include "iptables/verify.h"

#define NO_RULES        "there are no rules in this network namespace; `outrigger-init apply` installs them"
#define EXIT_USAGE      2
#define MOST_TEXT_BYTES (4 * 1024 * 1024)

static int fail(const char *problem)
{
    fprintf(stderr, "outrigger-init: %s\n", problem);
    return 1;
}

static int print_rules(const struct ruleset *ruleset,
                       void (*render)(const struct ruleset *ruleset, struct strbuf *text))
{
    struct strbuf text;
    bool failed;

    strbuf_init(&text, MOST_TEXT_BYTES);
    render(ruleset, &text);
    failed = strbuf_failed(&text);
    if (!failed)
        fputs(text.text, stdout);
    strbuf_done(&text);
    return failed || fflush(stdout) != 0 ? fail("the rules could not be printed") : 0;
}

static int run_apply(const struct options *options, const struct ruleset *ruleset)
{
    char problem[ENCODE_PROBLEM_SIZE];
    unsigned proven;
    int r;

    if (options->dry_run)
        return print_rules(ruleset, render_script);
    r = address_add();
    if (r == -EAFNOSUPPORT)
        printf("IPv6: not available here; IPv4 only\n");
    else if (r < 0) {
        fprintf(stderr, "outrigger-init: " INTERCEPTION_APP_SOURCE_IPV6 " could not be added to lo: %s%s\n",
                strerror(-r), r == -EPERM ? "; NET_ADMIN is needed" : "");
        return 1;
    }
    r = encode_apply(ruleset, problem);
    if (r < 0)
        return fail(problem);
    printf("applied: %zu rules in table inet " RULESET_TABLE "\n", ruleset->count);
    fflush(stdout);
    if (options->no_verify)
        return 0;
    return verify_run(options, ruleset, &proven) < 0 ? VERIFY_EXIT_FAILED : 0;
}

static int fail_reading(int error)
{
    fprintf(stderr, "outrigger-init: the rules cannot be read: %s%s\n", strerror(-error),
            error == -EPERM ? "; NET_ADMIN is needed" : "");
    return 1;
}

/* Reads what the kernel has; 0 when it is all ours to understand. */
static int read_kernel(struct ruleset *ruleset)
{
    unsigned strange;
    int r = decode_read(ruleset, &strange);

    if (r == -ENOENT)
        return fail(NO_RULES);
    if (r < 0)
        return fail_reading(r);
    if (strange > 0)
        fprintf(stderr,
                "outrigger-init: %u rules of the table are of another hand and not shown; see `nft list table "
                "inet " RULESET_TABLE "`\n",
                strange);
    return 0;
}

static int run_show(const struct options *options, const struct ruleset *ruleset)
{
    struct ruleset found = { 0 };
    int r = read_kernel(&found);

    (void)options;
    (void)ruleset;
    if (r == 0)
        r = print_rules(&found, render_table);
    ruleset_done(&found);
    return r;
}

/* Against the rules that are there, whatever options they were made with. */
static int run_verify(const struct options *options, const struct ruleset *ruleset)
{
    struct ruleset found = { 0 };
    unsigned strange, proven;
    int r = decode_read(&found, &strange);

    (void)ruleset;
    if (r < 0 && r != -ENOENT)
        return fail_reading(r);
    if (r == -ENOENT)
        fprintf(stderr, "outrigger-init: " NO_RULES "\n");
    if (r == -ENOENT || verify_run(options, &found, &proven) < 0)
        r = VERIFY_EXIT_FAILED;
    else if (proven == 0) {
        fprintf(stderr, "outrigger-init: nothing could be verified\n");
        r = VERIFY_EXIT_FAILED;
    }
    ruleset_done(&found);
    return r;
}

static int run_remove(const struct options *options, const struct ruleset *ruleset)
{
    char problem[ENCODE_PROBLEM_SIZE];
    int r = encode_remove(problem);

    (void)options;
    (void)ruleset;
    if (r < 0)
        return fail(problem);
    r = address_remove();
    if (r < 0 && r != -EAFNOSUPPORT) {
        fprintf(stderr, "outrigger-init: " INTERCEPTION_APP_SOURCE_IPV6 " could not be taken off lo: %s\n",
                strerror(-r));
        return 1;
    }
    printf("removed\n");
    return 0;
}

struct subcommand {
    const char *name;
    const char *help;
    int (*run)(const struct options *options, const struct ruleset *ruleset);
};

static const struct subcommand subcommands[] = {
    { "apply", "install the rules, or replace older ones in one transaction, and prove them (default)", run_apply },
    { "verify", "prove the rules that are there with a real connection", run_verify },
    { "show", "print the rules that are there", run_show },
    { "remove", "take them away", run_remove },
};

static void print_help(void)
{
    printf("Usage: outrigger-init [COMMAND] [OPTIONS]\n\n"
           "Redirects this network namespace's TCP connections to the proxy, with nftables rules in a table of their "
           "own.\n\n");
    for (size_t i = 0; i < ARRAY_SIZE(subcommands); i++)
        printf("  %-8s %s\n", subcommands[i].name, subcommands[i].help);
    printf("\n");
    options_print_help();
    printf(
        "\nExit: 0 done, 1 failed, 2 wrong usage, 95 a connection did not arrive, or there are no rules to prove.\n");
}

static int run(const struct options *options)
{
    struct ruleset ruleset = { 0 };
    int r = plan_build(options, &ruleset);

    if (r == -E2BIG)
        r = fail("the lists make more than 4096 rules");
    else if (r < 0)
        r = fail(strerror(-r));
    else {
        for (size_t i = 0; i < ARRAY_SIZE(subcommands); i++) {
            if (strcmp(subcommands[i].name, options->subcommand) == 0)
                r = subcommands[i].run(options, &ruleset);
        }
    }
    ruleset_done(&ruleset);
    return r;
}

int main(int argc, char **argv)
{
    struct options options;
    int r = options_parse(argc, argv, &options);

    if (r == -ENOMEM)
        r = fail(strerror(ENOMEM));
    else if (options.help) {
        print_help();
        r = 0;
    } else if (options.version) {
        puts("outrigger-init " OUTRIGGER_VERSION);
        r = 0;
    } else
        r = r < 0 ? EXIT_USAGE : run(&options);
    options_done(&options);
    return r;
}

/* outrigger-init: installs, verifies, shows, explains and removes the redirect rules of this network namespace. */
#include <errno.h>
#include <net/if.h>
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
#include "iptables/routing.h"
#include "iptables/trace.h"
#include "iptables/verify.h"

#define NO_RULES        "there are no rules in this network namespace; `outrigger-init apply` installs them"
#define EXIT_USAGE      2
#define MOST_TEXT_BYTES (4 * 1024 * 1024)

static int fail(const char *problem)
{
    fprintf(stderr, "outrigger-init: %s\n", problem);
    return 1;
}

static int fail_step(const char *step, int error)
{
    fprintf(stderr, "outrigger-init: %s: %s%s\n", step, strerror(-error),
            error == -EPERM      ? "; NET_ADMIN is needed"
            : error == -ENETDOWN ? "; is lo up? `ip link set lo up`"
                                 : "");
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

/* Behind the rules, as comments for `nft -f`, what they need beside themselves. */
static int dry_run(const struct options *options, const struct ruleset *ruleset)
{
    int r = print_rules(ruleset, render_script);

    if (r == 0 && ruleset_mark(ruleset) != 0) {
        for (unsigned family = 4; family <= 6; family += 2)
            printf("# ip -%u rule add priority %u fwmark %u lookup %u; ip -%u route add local default dev lo table "
                   "%u\n",
                   family, ROUTING_PRIORITY, options->tproxy_mark, options->tproxy_route_table, family,
                   options->tproxy_route_table);
    }
    if (r == 0)
        printf("# ip -6 address add " INTERCEPTION_APP_SOURCE_IPV6 "/128 dev lo\n");
    return r;
}

static bool is_pattern(const char *name)
{
    return name[strlen(name) - 1] == '*';
}

/* An excluded interface that is not there is a slip; a virtual one may come later, with the machine behind it. */
static int check_interfaces(const struct options *options)
{
    int r = 0;

    for (size_t i = 0; i < options->exclude_interfaces.count; i++) {
        const char *name = options->exclude_interfaces.items[i];

        if (!is_pattern(name) && if_nametoindex(name) == 0) {
            fprintf(stderr,
                    "outrigger-init: --exclude-interfaces: \"%s\": there is no such interface here (a pattern, as %s*, "
                    "may fit later)\n",
                    name, name);
            r = -EINVAL;
        }
    }
    for (size_t i = 0; r == 0 && i < options->virtual_interfaces.count; i++) {
        const char *name = options->virtual_interfaces.items[i];

        if (!is_pattern(name) && if_nametoindex(name) == 0)
            printf("--virtual-interfaces: %s is not here yet; its rules count once it is\n", name);
    }
    return r;
}

static int run_apply(const struct options *options, const struct ruleset *ruleset)
{
    char problem[ENCODE_PROBLEM_SIZE];
    bool is_marked = ruleset_mark(ruleset) != 0;
    unsigned proven;
    int r;

    if (options->dry_run)
        return dry_run(options, ruleset);
    if (check_interfaces(options) < 0)
        return EXIT_USAGE;
    r = address_add();
    if (r == -EAFNOSUPPORT)
        printf("IPv6: not available here; IPv4 only\n");
    else if (r < 0)
        return fail_step(INTERCEPTION_APP_SOURCE_IPV6 " could not be added to lo", r);
    /* There before the rules that mark packets for it, and gone after them. */
    r = is_marked ? routing_add(options->tproxy_mark, options->tproxy_route_table) : 0;
    if (r < 0)
        return fail_step("the policy routing of mode tproxy could not be added", r);
    r = encode_apply(ruleset, problem);
    if (r < 0)
        return fail(problem);
    r = is_marked ? routing_keep(options->tproxy_mark, options->tproxy_route_table) : routing_keep(0, 0);
    if (r < 0)
        return fail_step("older policy routing of mode tproxy could not be removed", r);
    printf("applied: %zu rules in table inet " RULESET_TABLE "\n", ruleset->count);
    fflush(stdout);
    if (options->no_verify)
        return 0;
    return verify_run(ruleset, options->verify_timeout_ms, &proven) < 0 ? VERIFY_EXIT_FAILED : 0;
}

/* Reads what the kernel has. */
static int read_kernel(struct ruleset *ruleset, unsigned *ret_strange)
{
    int r = decode_read(ruleset, ret_strange);

    if (r == -ENOENT)
        return fail(NO_RULES);
    if (r < 0)
        return fail_step("the rules cannot be read", r);
    if (*ret_strange > 0)
        fprintf(
            stderr,
            "outrigger-init: %u rules or chains of the table are of another hand and not shown; see `nft list table "
            "inet " RULESET_TABLE "`\n",
            *ret_strange);
    return 0;
}

static int run_show(const struct options *options, const struct ruleset *ruleset)
{
    struct ruleset found = { 0 };
    unsigned strange;
    int r = read_kernel(&found, &strange);

    (void)ruleset;
    if (r == 0)
        r = print_rules(&found, options->explain ? render_explanation : render_table);
    ruleset_done(&found);
    return r;
}

static int run_trace(const struct options *options, const struct ruleset *ruleset)
{
    struct ruleset found = { 0 };
    unsigned strange = 0;
    int r = options->dry_run ? 0 : read_kernel(&found, &strange);

    if (r == 0 && strange > 0)
        r = fail("where it lands is not known: what is of another hand may decide");
    if (r == 0 && trace_run(options, options->dry_run ? ruleset : &found) < 0)
        r = EXIT_USAGE;
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
        return fail_step("the rules cannot be read", r);
    if (r == -ENOENT)
        fprintf(stderr, "outrigger-init: " NO_RULES "\n");
    if (r == -ENOENT || verify_run(&found, options->verify_timeout_ms, &proven) < 0)
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
    r = routing_keep(0, 0);
    if (r < 0)
        return fail_step("the policy routing of mode tproxy could not be removed", r);
    r = address_remove();
    if (r < 0 && r != -EAFNOSUPPORT)
        return fail_step(INTERCEPTION_APP_SOURCE_IPV6 " could not be taken off lo", r);
    printf("removed\n");
    return 0;
}

struct command_row {
    const char *help;
    int (*run)(const struct options *options, const struct ruleset *ruleset);
};

static const struct command_row command_rows[COMMAND_COUNT] = {
    [COMMAND_APPLY] = { "install the rules, or replace older ones in one transaction, and prove them (default)",
                        run_apply },
    [COMMAND_VERIFY] = { "prove the rules that are there with real connections", run_verify },
    [COMMAND_SHOW] = { "print the rules that are there; --explain tells their reasons and what they have seen",
                       run_show },
    [COMMAND_TRACE] = { "tell which rule decides about a connection, and where it lands; sends nothing", run_trace },
    [COMMAND_REMOVE] = { "take them away", run_remove },
};

static void print_help(void)
{
    printf("Usage: outrigger-init [COMMAND] [OPTIONS]\n\n"
           "Redirects this network namespace's TCP connections to the proxy, with nftables rules in a table of their "
           "own.\n\n");
    for (enum command command = 0; command < COMMAND_COUNT; command++)
        printf("  %-8s %s\n", options_command_name(command), command_rows[command].help);
    printf("\n");
    options_print_help();
    printf(
        "\nExit: 0 done, 1 failed, 2 wrong usage, 95 a connection did not arrive, mode tproxy would not work, or there "
        "is nothing to prove.\n");
}

static int run(const struct options *options)
{
    struct ruleset ruleset = { 0 };
    int r = plan_build(options, &ruleset);

    if (r == -E2BIG)
        r = fail("the lists make more than 4096 rules");
    else if (r < 0)
        r = fail(strerror(-r));
    else
        r = command_rows[options->command].run(options, &ruleset);
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

/* outriggerctl: options and the table of subcommands. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/macros.h"
#include "base/units.h"
#include "control/ctl/ctl.h"

struct subcommand {
    const char *name;
    const char *arguments;
    const char *help;
    bool waits, runs, has_words; /* takes --timeout; wraps a command; takes words of its own */
    int (*run)(const struct ctl_options *options);
};

static const struct subcommand subcommands[] = {
    { "ready", "", "say whether the proxy is ready (exit 0) or not, and why not (exit 1)", false, false, false,
      ctl_ready },
    { "wait", "[--timeout 60s] [--interval 250ms]", "wait until the proxy is ready", true, false, false, ctl_wait },
    { "run", "[--timeout 60s] [--on-timeout fail|start] [--quit] -- CMD...",
      "wait, then run CMD, pass signals on, return its exit code; --quit ends the proxy afterwards", true, true, false,
      ctl_run },
    { "status", "", "show state, traffic and endpoints", false, false, false, ctl_status },
    { "drain", "", "stop being ready and accept no new inbound connections; the proxy goes on running", false, false,
      false, ctl_drain },
    { "quit", "", "drain, then end the proxy", false, false, false, ctl_quit },
    { "fault",
      "set CLUSTER [delay=PERCENT:TIME] [refuse=PERCENT] [reset=PERCENT[:BYTES]] [bandwidth=BYTES] | clear CLUSTER",
      "inject these faults, and no others, into a cluster's new connections; clear: the configured ones again", false,
      false, true, ctl_fault },
};

static void print_help(FILE *out)
{
    fputs("Usage: outriggerctl [--socket PATH] [--json] COMMAND\n\n", out);
    for (size_t i = 0; i < ARRAY_SIZE(subcommands); i++)
        fprintf(out, "  %s %s\n      %s\n", subcommands[i].name, subcommands[i].arguments, subcommands[i].help);
    fputs("\n"
          "  --socket PATH   the proxy's control socket; default " CTL_DEFAULT_SOCKET "\n"
          "  --json          answers as the proxy gives them to programs\n"
          "  --version, --help\n"
          "\n"
          "Exit: 0 done, 1 the proxy said no, 69 no proxy answers or it took too long, 2 wrong usage;\n"
          "run: the code of CMD, 128 + N when signal N ended it, 126 or 127 when it cannot start.\n",
          out);
}

static int usage(const char *problem, const char *argument)
{
    fprintf(stderr, "outriggerctl: %s%s%s%s\nTry 'outriggerctl --help'.\n", problem, argument ? " \"" : "",
            argument ? argument : "", argument ? "\"" : "");
    return CTL_USAGE;
}

/* 0, or CTL_USAGE after saying why. Durations of up to a day. */
static int parse_duration(const char *option, const char *text, uint64_t *ret_ms)
{
    if (units_parse_duration(text, ret_ms) == 0 && *ret_ms <= 86400000)
        return 0;
    fprintf(stderr, "outriggerctl: --%s: \"%s\" is not a duration; allowed: 0 to 24h, as 250ms, 5s, 1m, 1h\n", option,
            text);
    return CTL_USAGE;
}

static int parse_on_timeout(const char *text, struct ctl_options *options)
{
    if (strcmp(text, "fail") != 0 && strcmp(text, "start") != 0)
        return usage("--on-timeout takes fail or start, not", text);
    options->start_on_timeout = strcmp(text, "start") == 0;
    return 0;
}

/* The options behind the subcommand's name; *ret_used is how many words they are. */
static int parse_subcommand(const struct subcommand *subcommand, int argc, char **argv, struct ctl_options *options)
{
    static const struct option known[] = {
        { "timeout", required_argument, NULL, 't' },
        { "interval", required_argument, NULL, 'i' },
        { "on-timeout", required_argument, NULL, 'o' },
        { "quit", no_argument, NULL, 'q' },
        { "help", no_argument, NULL, 'h' },
        { 0 },
    };
    int option, r = 0;

    optind = 1;
    while (r == 0 && (option = getopt_long(argc, argv, "+", known, NULL)) != -1) {
        if (option == 'h') {
            printf("Usage: outriggerctl [--socket PATH] %s %s\n  %s\n", subcommand->name, subcommand->arguments,
                   subcommand->help);
            exit(CTL_DONE);
        }
        if (option == '?')
            return usage("unknown or incomplete option", argv[optind - 1]);
        if (!(option == 't' || option == 'i' ? subcommand->waits : subcommand->runs))
            return usage("that option does not belong to", subcommand->name);
        if (option == 't')
            r = parse_duration("timeout", optarg, &options->timeout_ms);
        else if (option == 'i')
            r = parse_duration("interval", optarg, &options->interval_ms);
        else if (option == 'o')
            r = parse_on_timeout(optarg, options);
        else
            options->quit = true;
    }
    if (r != 0)
        return r;
    if (options->interval_ms == 0)
        return usage("--interval must be longer than 0", NULL);
    options->command = argv + optind;
    if (subcommand->runs && optind >= argc)
        return usage("run needs a command: run -- CMD...", NULL);
    if (!subcommand->runs && !subcommand->has_words && optind < argc)
        return usage("unexpected argument", argv[optind]);
    return 0;
}

int main(int argc, char **argv)
{
    static const struct option known[] = {
        { "socket", required_argument, NULL, 's' },
        { "json", no_argument, NULL, 'j' },
        { "version", no_argument, NULL, 'v' },
        { "help", no_argument, NULL, 'h' },
        { 0 },
    };
    struct ctl_options options = { .socket_path = CTL_DEFAULT_SOCKET, .timeout_ms = 60000, .interval_ms = 250 };
    int option, r;

    opterr = 0; /* the messages are ours */
    while ((option = getopt_long(argc, argv, "+h", known, NULL)) != -1) {
        switch (option) {
        case 's':
            options.socket_path = optarg;
            break;
        case 'j':
            options.json = true;
            break;
        case 'v':
            puts("outriggerctl " OUTRIGGER_VERSION);
            return CTL_DONE;
        case 'h':
            print_help(stdout);
            return CTL_DONE;
        default:
            return usage("unknown or incomplete option", argv[optind - 1]);
        }
    }
    if (optind >= argc) {
        print_help(stderr);
        return CTL_USAGE;
    }
    for (size_t i = 0; i < ARRAY_SIZE(subcommands); i++) {
        if (strcmp(subcommands[i].name, argv[optind]) != 0)
            continue;
        r = parse_subcommand(&subcommands[i], argc - optind, argv + optind, &options);
        return r != 0 ? r : subcommands[i].run(&options);
    }
    return usage("unknown command", argv[optind]);
}

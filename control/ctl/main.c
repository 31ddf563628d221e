/* outriggerctl: options and the table of subcommands. */
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/macros.h"
#include "base/suggest.h"
#include "base/units.h"
#include "control/ctl/ctl.h"

static int print_completion(const struct ctl_options *options);

struct subcommand {
    const char *name;
    const char *arguments;
    const char *help;
    bool waits, runs, polls; /* takes --timeout; wraps a command; takes --interval */
    bool may_wait;           /* takes --wait */
    unsigned words;          /* how many it takes, UINT_MAX: any number */
    int (*run)(const struct ctl_options *options);
    const char *method, *path; /* without `run`: one request */
};

static const struct subcommand subcommands[] = {
    { .name = "ready",
      .arguments = "",
      .help = "say whether the proxy is ready (exit 0) or not, and why not (exit 1)",
      .method = "GET",
      .path = "/healthz/ready" },
    { .name = "wait",
      .arguments = "[--timeout 60s] [--interval 250ms]",
      .help = "wait until the proxy is ready",
      .waits = true,
      .polls = true,
      .run = ctl_wait },
    { .name = "run",
      .arguments = "[--timeout 60s] [--interval 250ms] [--on-timeout fail|start] [--quit] -- CMD...",
      .help = "wait, then run CMD, pass signals on, return its exit code; --quit ends the proxy afterwards",
      .waits = true,
      .polls = true,
      .runs = true,
      .words = UINT_MAX,
      .run = ctl_run },
    { .name = "status",
      .arguments = "",
      .help = "show state, configuration, traffic and endpoints",
      .method = "GET",
      .path = "/status" },
    { .name = "stats",
      .arguments = "",
      .help = "show the process as a whole: connections, memory, workers",
      .method = "GET",
      .path = "/stats" },
    { .name = "clusters",
      .arguments = "",
      .help = "show traffic and endpoints of each cluster",
      .method = "GET",
      .path = "/clusters" },
    { .name = "connections",
      .arguments = "[cluster=NAME] [id=ID] [direction=outbound|inbound|listener] [state=STATE] [client=ADDRESS] "
                   "[endpoint=ADDRESS] [age=5s] [idle=5s]",
      .help = "show the connections that are open, the oldest 1000 of each worker, or those of them that match; of an "
              "address its beginning will do, age and idle are at least so long",
      .words = UINT_MAX,
      .run = ctl_connections },
    { .name = "endings",
      .arguments = "",
      .help = "show the last connections that ended in a way that was not meant, and why",
      .method = "GET",
      .path = "/endings" },
    { .name = "trace",
      .arguments = "[--timeout 1m] CLUSTER|CONNECTION",
      .help = "show what a cluster's connections, or one connection, do, step by step, until interrupted",
      .waits = true,
      .words = 1,
      .run = ctl_trace },
    { .name = "config",
      .arguments = "",
      .help = "show the configuration in force with all its defaults",
      .method = "GET",
      .path = "/config" },
    { .name = "top",
      .arguments = "[--interval 1s]",
      .help =
          "show rates of clusters and endpoints and why connections ended, again and again, until interrupted; on a "
          "terminal keys sort and filter",
      .polls = true,
      .run = ctl_top },
    { .name = "reload",
      .arguments = "",
      .help = "load the configuration's file again: all of it, or nothing and what is wrong",
      .method = "POST",
      .path = "/reload" },
    { .name = "drain",
      .arguments = "[--wait [--timeout 60s]]",
      .help = "stop being ready and accept no new inbound connections; the proxy goes on running; --wait: until the "
              "last inbound connection has ended",
      .waits = true,
      .may_wait = true,
      .run = ctl_drain },
    { .name = "undrain", .arguments = "", .help = "take drain back", .method = "POST", .path = "/undrain" },
    { .name = "quit",
      .arguments = "[--wait [--timeout 60s]]",
      .help = "drain, then end the proxy; --wait: until it has ended",
      .waits = true,
      .may_wait = true,
      .run = ctl_quit },
    { .name = "log-level",
      .arguments = "LEVEL",
      .help = "log what is as urgent as LEVEL (error, warning, info, debug), until the next start",
      .words = 1,
      .run = ctl_log_level },
    { .name = "eject",
      .arguments = "CLUSTER ENDPOINT",
      .help = "send no connection to an endpoint any more; those that it has go on",
      .words = 2,
      .run = ctl_eject },
    { .name = "restore",
      .arguments = "CLUSTER ENDPOINT",
      .help = "use an endpoint again, whether a command or its failures have ejected it",
      .words = 2,
      .run = ctl_restore },
    { .name = "identity",
      .arguments = "",
      .help = "show the own certificate, whom it makes trust, and how handshakes have ended",
      .method = "GET",
      .path = "/identity" },
    { .name = "authz",
      .arguments = "explain port=PORT [source=ADDRESS] [identity=SPIFFE-ID]",
      .help = "say whether a peer may reach the app's port, and by which rule of `authorization`",
      .words = UINT_MAX,
      .run = ctl_authz },
    { .name = "fault",
      .arguments =
          "set CLUSTER [delay=PERCENT:TIME] [refuse=PERCENT] [reset=PERCENT[:BYTES]] [bandwidth=BYTES] | clear CLUSTER",
      .help = "inject these faults, and no others, into a cluster's new connections; clear: the configured ones again",
      .words = UINT_MAX,
      .run = ctl_fault },
    { .name = "copy",
      .arguments = "PATH",
      .help = "copy this program to PATH: a file, or a directory such as a volume that the app's container has too",
      .words = 1,
      .run = ctl_copy },
    { .name = "completion",
      .arguments = "bash",
      .help = "print a script for bash: source <(outriggerctl completion bash)",
      .words = 1,
      .run = print_completion },
};

static void print_help(FILE *out)
{
    fputs("Usage: outriggerctl [--socket PATH] [--json] COMMAND\n\n", out);
    for (size_t i = 0; i < ARRAY_SIZE(subcommands); i++)
        fprintf(out, "  %s%s%s\n      %s\n", subcommands[i].name, subcommands[i].arguments[0] ? " " : "",
                subcommands[i].arguments, subcommands[i].help);
    fputs("\n"
          "  --socket PATH   the proxy's control socket; default " CTL_DEFAULT_SOCKET "\n"
          "  --json          answers as the proxy gives them to programs\n"
          "  --version, --help\n"
          "\n"
          "With OUTRIGGER_DISABLED set, wait and run do as if there were no proxy to wait for, and none to end.\n"
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
        { "wait", no_argument, NULL, 'w' },
        { "help", no_argument, NULL, 'h' },
        { 0 },
    };
    int option, r = 0;

    options->interval_ms = subcommand->waits ? 250 : 1000;
    optind = 1;
    while (r == 0 && (option = getopt_long(argc, argv, "+", known, NULL)) != -1) {
        if (option == 'h') {
            printf("Usage: outriggerctl [--socket PATH] %s %s\n  %s\n", subcommand->name, subcommand->arguments,
                   subcommand->help);
            exit(CTL_DONE);
        }
        if (option == '?')
            return usage("unknown or incomplete option", argv[optind - 1]);
        if (!(option == 't'   ? subcommand->waits
              : option == 'i' ? subcommand->polls
              : option == 'w' ? subcommand->may_wait
                              : subcommand->runs))
            return usage("that option does not belong to", subcommand->name);
        options->has_timeout |= option == 't';
        if (option == 't')
            r = parse_duration("timeout", optarg, &options->timeout_ms);
        else if (option == 'i')
            r = parse_duration("interval", optarg, &options->interval_ms);
        else if (option == 'o')
            r = parse_on_timeout(optarg, options);
        else if (option == 'w')
            options->wait = true;
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
    if ((unsigned)(argc - optind) > subcommand->words)
        return usage("unexpected argument", argv[optind + (int)subcommand->words]);
    if (subcommand->words != UINT_MAX && (unsigned)(argc - optind) < subcommand->words)
        return usage("what is missing is", subcommand->arguments);
    return 0;
}

/* For bash: the words that may come first, and the commands' own options. */
static int print_completion(const struct ctl_options *options)
{
    if (strcmp(options->command[0], "bash") != 0)
        return usage("completion is for bash, not", options->command[0]);
    printf("_outriggerctl() {\n"
           "  local word=${COMP_WORDS[COMP_CWORD]} command= i\n"
           "  for ((i = 1; i < COMP_CWORD; i++)); do\n"
           "    case ${COMP_WORDS[i]} in\n"
           "      --socket) ((i++)) ;;\n"
           "      -*) ;;\n"
           "      *) command=${COMP_WORDS[i]}; break ;;\n"
           "    esac\n"
           "  done\n"
           "  case $command in\n"
           "    '') COMPREPLY=($(compgen -W '--socket --json --version --help");
    for (size_t i = 0; i < ARRAY_SIZE(subcommands); i++)
        printf(" %s", subcommands[i].name);
    printf("' -- \"$word\")) ;;\n"
           "    wait) COMPREPLY=($(compgen -W '--timeout --interval' -- \"$word\")) ;;\n"
           "    run) COMPREPLY=($(compgen -c -W '--timeout --interval --on-timeout --quit --' -- \"$word\")) ;;\n"
           "    drain | quit) COMPREPLY=($(compgen -W '--wait --timeout' -- \"$word\")) ;;\n"
           "    top) COMPREPLY=($(compgen -W '--interval' -- \"$word\")) ;;\n"
           "    log-level) COMPREPLY=($(compgen -W 'error warning info debug' -- \"$word\")) ;;\n"
           "    fault) COMPREPLY=($(compgen -W 'set clear delay= refuse= reset= bandwidth=' -- \"$word\")) ;;\n"
           "    completion) COMPREPLY=($(compgen -W 'bash' -- \"$word\")) ;;\n"
           "  esac\n"
           "  [[ ${COMP_WORDS[COMP_CWORD-1]} == --socket ]] && COMPREPLY=($(compgen -f -- \"$word\"))\n"
           "}\n"
           "complete -F _outriggerctl outriggerctl\n");
    return CTL_DONE;
}

/* A command like it, for who has mistyped; NULL: none. */
static const char *find_nearest(const char *word)
{
    const char *names[ARRAY_SIZE(subcommands)];
    int nearest;

    for (size_t i = 0; i < ARRAY_SIZE(subcommands); i++)
        names[i] = subcommands[i].name;
    nearest = suggest_nearest(word, names, ARRAY_SIZE(subcommands));
    return nearest >= 0 ? names[nearest] : NULL;
}

static int run(const struct subcommand *subcommand, const struct ctl_options *options)
{
    if (subcommand->run)
        return subcommand->run(options);
    return ctl_ask_and_print(options, subcommand->method, subcommand->path, "");
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
    struct ctl_options options = { .socket_path = CTL_DEFAULT_SOCKET, .timeout_ms = 60000 };
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
        return r != 0 ? r : run(&subcommands[i], &options);
    }
    if (find_nearest(argv[optind])) {
        fprintf(stderr, "outriggerctl: unknown command \"%s\"; did you mean \"%s\"?\n", argv[optind],
                find_nearest(argv[optind]));
        return CTL_USAGE;
    }
    return usage("unknown command", argv[optind]);
}

/* outrigger: arguments only. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proxy/config/config.h"
#include "proxy/process/process.h"
#include "proxy/tls/record_memory.h"

#define EXIT_USAGE      2
#define MOST_TEXT_BYTES (64 * 1024 * 1024)

enum action {
    ACTION_RUN,
    ACTION_CHECK,
    ACTION_DUMP,
    ACTION_SCHEMA,
    ACTION_VERSION,
    ACTION_HELP,
};

static const char help[] =
    "Usage: outrigger [-c FILE] [--probes FILE] [--takeover SOCKET | --check | --dump-config | --schema | --version]\n"
    "\n"
    "Runs the proxy in the foreground until SIGTERM, which drains it and then ends it.\n"
    "\n"
    "  -c, --config FILE   configuration; default " CONFIG_DEFAULT_PATH ", and when that\n"
    "                      does not exist: transparent passthrough with the default policies\n"
    "      --probes FILE   a file whose `probes` are added to the configuration's\n"
    "      --takeover SOCKET\n"
    "                      take over from the proxy with this control socket: it hands its\n"
    "                      listening sockets over and ends with its last connection. For\n"
    "                      hosts, not for pods\n"
    "      --check         check the configuration, say everything that is wrong with it, end\n"
    "      --dump-config   print the configuration in force with all its defaults, end\n"
    "      --schema        print the configuration's JSON Schema, end\n"
    "      --version       print the version, end\n"
    "  -h, --help          print this, end\n"
    "\n"
    "Exit: 0 clean, 1 failed while starting or running, 2 wrong usage or configuration.\n"
    "Every key is explained in docs/configuration.md. outriggerctl talks to a running proxy.\n";

/* Prints a text that was built whole, and frees it. */
static int print(struct strbuf *text)
{
    bool failed = strbuf_failed(text);

    if (failed)
        fputs("outrigger: no memory\n", stderr);
    else
        fputs(text->text, stdout);
    strbuf_done(text);
    return failed || fflush(stdout) != 0 ? 1 : 0;
}

static int print_config(const struct config *config)
{
    struct strbuf text;

    strbuf_init(&text, MOST_TEXT_BYTES);
    config_dump(config, &text);
    return print(&text);
}

static int print_schema(void)
{
    struct strbuf text;

    strbuf_init(&text, MOST_TEXT_BYTES);
    config_schema(&text);
    return print(&text);
}

static int with_config(const struct config_files *files, const char *takeover_path, enum action action)
{
    struct process_task task = { .files = *files, .takeover_path = takeover_path };
    struct config *config;
    const char *name;
    char *errors;
    int r;

    file_identify(files->path ? files->path : CONFIG_DEFAULT_PATH, &task.seen);
    r = config_load(files, NULL, &name, &config, &errors);
    if (r == -EINVAL) {
        fputs(errors, stderr);
        free(errors);
        return EXIT_USAGE;
    }
    if (r < 0) {
        fprintf(stderr, "outrigger: %s\n", strerror(-r));
        return 1;
    }
    if (action == ACTION_RUN) {
        task.config = config;
        return process_run(&task);
    }
    if (action == ACTION_DUMP)
        r = print_config(config);
    else
        printf("%s: the configuration is valid\n", name);
    config_free(config);
    return r;
}

/* What is closed would become something else's, and a line of a log would be written into it. */
static void open_standard_descriptors(void)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) < 0)
            _exit(1);
    }
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        { "config", required_argument, NULL, 'c' },
        { "probes", required_argument, NULL, 'p' },
        { "takeover", required_argument, NULL, 't' },
        { "check", no_argument, NULL, 'k' },
        { "dump-config", no_argument, NULL, 'd' },
        { "schema", no_argument, NULL, 's' },
        { "version", no_argument, NULL, 'v' },
        { "help", no_argument, NULL, 'h' },
        { 0 },
    };
    enum action action = ACTION_RUN;
    struct config_files files = { 0 };
    const char *takeover_path = NULL;
    int option;

    open_standard_descriptors();
    while ((option = getopt_long(argc, argv, "c:h", options, NULL)) != -1) {
        switch (option) {
        case 'c':
            files.path = optarg;
            break;
        case 'p':
            files.probes = optarg;
            break;
        case 't':
            takeover_path = optarg;
            break;
        case 'k':
            action = ACTION_CHECK;
            break;
        case 'd':
            action = ACTION_DUMP;
            break;
        case 's':
            action = ACTION_SCHEMA;
            break;
        case 'v':
            action = ACTION_VERSION;
            break;
        case 'h':
            action = ACTION_HELP;
            break;
        default:
            fputs("Try 'outrigger --help'.\n", stderr);
            return EXIT_USAGE;
        }
    }
    if (optind < argc) {
        fprintf(stderr, "outrigger: unexpected argument \"%s\"; the configuration is given with -c\n", argv[optind]);
        return EXIT_USAGE;
    }
    switch (action) {
    case ACTION_HELP:
        fputs(help, stdout);
        return 0;
    case ACTION_VERSION:
        puts("outrigger " OUTRIGGER_VERSION);
        return 0;
    case ACTION_SCHEMA:
        return print_schema();
    default:
        record_memory_init();
        return with_config(&files, takeover_path, action);
    }
}

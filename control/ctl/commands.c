#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/ctl/client.h"
#include "control/ctl/ctl.h"
#include "control/ctl/gate.h"

#define REQUEST_TIMEOUT_MS 5000
#define LONGEST_LEVEL      32
#define LONGEST_ADDRESS    256

int ctl_ask_and_print(const struct ctl_options *options, const char *method, const char *path, const char *body)
{
    const char *accept = options->json ? "application/json" : "text/plain";
    struct client_answer answer;
    int code, r;

    r = client_request(options->socket_path, method, path, accept, body, REQUEST_TIMEOUT_MS, &answer);
    if (r < 0) {
        fprintf(stderr, "outriggerctl: no proxy answers on %s: %s\n", options->socket_path, strerror(-r));
        return CTL_UNREACHABLE;
    }
    code = answer.status < 300 ? CTL_DONE : CTL_NO;
    if (code != CTL_DONE && !options->json)
        fputs("outriggerctl: ", stderr);
    fputs(answer.body, code == CTL_DONE ? stdout : stderr);
    free(answer.body);
    return code;
}

int ctl_log_level(const struct ctl_options *options)
{
    if (strlen(options->command[0]) > LONGEST_LEVEL) {
        fprintf(stderr, "outriggerctl: log-level: allowed: error, warning, info, debug\n");
        return CTL_USAGE;
    }
    return ctl_ask_and_print(options, "POST", "/log-level", options->command[0]);
}

/* Asks for `path` with the words `key=value` as its query. `what` is how it is called in a complaint. */
static int ask_with_words(const struct ctl_options *options, const char *path, char **words, const char *what)
{
    char asked[1024];
    size_t length = (size_t)snprintf(asked, sizeof asked, "%s?", path);

    for (char **word = words; *word; word++) {
        int size = snprintf(asked + length, sizeof asked - length, "%s&", *word);

        if (strpbrk(*word, " &?\t\r\n") || !strchr(*word, '=') || size < 0 || (size_t)size >= sizeof asked - length) {
            fprintf(stderr, "outriggerctl: %s: \"%.80s\" is not of the form KEY=VALUE\n", what, *word);
            return CTL_USAGE;
        }
        length += (size_t)size;
    }
    return ctl_ask_and_print(options, "GET", asked, "");
}

int ctl_authz(const struct ctl_options *options)
{
    if (!options->command[0] || strcmp(options->command[0], "explain") != 0 || !options->command[1]) {
        fprintf(stderr, "outriggerctl: authz explain port=PORT [source=ADDRESS] [identity=SPIFFE-ID]\n");
        return CTL_USAGE;
    }
    return ask_with_words(options, "/authorization", options->command + 1, "authz explain");
}

int ctl_connections(const struct ctl_options *options)
{
    return ask_with_words(options, "/connections", options->command, "connections");
}

static int change_endpoint(const struct ctl_options *options, const char *verb)
{
    char path[512];

    if (snprintf(path, sizeof path, "/endpoints/%s/%s", options->command[0], verb) >= (int)sizeof path ||
        strpbrk(path, " \t\r\n?")) {
        fprintf(stderr, "outriggerctl: %s: \"%.80s\" cannot be a cluster's name\n", verb, options->command[0]);
        return CTL_USAGE;
    }
    if (strlen(options->command[1]) > LONGEST_ADDRESS) {
        fprintf(stderr, "outriggerctl: %s: that is no endpoint's address\n", verb);
        return CTL_USAGE;
    }
    return ctl_ask_and_print(options, "POST", path, options->command[1]);
}

int ctl_eject(const struct ctl_options *options)
{
    return change_endpoint(options, "eject");
}

int ctl_restore(const struct ctl_options *options)
{
    return change_endpoint(options, "restore");
}

int ctl_wait(const struct ctl_options *options)
{
    sigset_t ending, before;
    int r;

    if (gate_is_disabled())
        return CTL_DONE;
    sigemptyset(&ending);
    sigaddset(&ending, SIGTERM);
    sigaddset(&ending, SIGINT);
    sigprocmask(SIG_BLOCK, &ending, &before);
    r = gate_wait(options, &ending);
    sigprocmask(SIG_SETMASK, &before, NULL);
    if (r > 0)
        return 128 + r;
    return r == 0 ? CTL_DONE : CTL_UNREACHABLE;
}

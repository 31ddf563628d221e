/* `trace`: what the connections of a cluster, or one of them, do, as it happens. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "control/ctl/client.h"
#include "control/ctl/ctl.h"

#define REQUEST_TIMEOUT_MS 5000
#define ASK_EVERY_MS       200

static uint64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* Prints what there is. Returns CTL_DONE, or the exit code after saying why. */
static int ask(const struct ctl_options *options, const char *body)
{
    const char *accept = options->json ? "application/json" : "text/plain";
    struct client_answer answer;
    int r = client_request(options->socket_path, "POST", "/trace", accept, body, REQUEST_TIMEOUT_MS, &answer);

    if (r < 0) {
        fprintf(stderr, "outriggerctl: no proxy answers on %s: %s\n", options->socket_path, strerror(-r));
        return CTL_UNREACHABLE;
    }
    r = answer.status == 200 ? CTL_DONE : CTL_NO;
    if (r != CTL_DONE)
        fputs("outriggerctl: ", stderr);
    fputs(answer.body, r == CTL_DONE ? stdout : stderr);
    free(answer.body);
    return fflush(stdout) == 0 ? r : CTL_NO;
}

int ctl_trace(const struct ctl_options *options)
{
    const struct timespec pause = { .tv_nsec = ASK_EVERY_MS * 1000000L };
    uint64_t end_ms = options->has_timeout ? now_ms() + options->timeout_ms : UINT64_MAX;
    sigset_t ending;
    char body[512];
    int r;

    if (strlen(options->command[0]) > 128 || strpbrk(options->command[0], " \t\r\n")) {
        fprintf(stderr, "outriggerctl: trace: \"%.80s\" is neither a cluster's name nor a connection's id\n",
                options->command[0]);
        return CTL_USAGE;
    }
    /* A number that nobody else has at the same time. */
    snprintf(body, sizeof body, "session=%llu %s", (unsigned long long)getpid() * 1000000 + now_ms() % 1000000 + 1,
             options->command[0]);
    sigemptyset(&ending);
    sigaddset(&ending, SIGINT);
    sigaddset(&ending, SIGTERM);
    sigprocmask(SIG_BLOCK, &ending, NULL);
    do {
        r = ask(options, body);
    } while (r == CTL_DONE && now_ms() < end_ms && sigtimedwait(&ending, NULL, &pause) < 0);
    if (r == CTL_DONE) {
        *strchr(body, ' ') = '\0';
        r = ask(options, body);
    }
    return r;
}

/* `drain` and `quit`, and waiting until they are done. */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "control/ctl/client.h"
#include "control/ctl/ctl.h"

#define REQUEST_TIMEOUT_MS 5000
#define POLL_MS            100

static uint64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* How many connections there are, but for the app's own outbound ones. */
static unsigned long count_inbound(const char *metrics)
{
    static const char family[] = "outrigger_connections_active{direction=\"";
    unsigned long count = 0;

    for (const char *line = metrics; (line = strstr(line, family)); line += sizeof family - 1) {
        const char *value = strstr(line, "} ");

        if (value && strncmp(line + sizeof family - 1, "outbound", strlen("outbound")) != 0)
            count += strtoul(value + 2, NULL, 10);
    }
    return count;
}

/* Returns how many are left; *ret_error is 0 or a negative errno when no proxy answers. */
static unsigned long ask_for_count(const struct ctl_options *options, int *ret_error)
{
    struct client_answer answer;
    unsigned long count;

    *ret_error = client_request(options->socket_path, "GET", "/metrics", "text/plain", "", REQUEST_TIMEOUT_MS, &answer);
    if (*ret_error < 0)
        return 0;
    count = count_inbound(answer.body);
    free(answer.body);
    return count;
}

/* Polls until none is left, or with `until_gone` until no proxy answers any more. */
static int await(const struct ctl_options *options, bool until_gone)
{
    const struct timespec pause = { .tv_nsec = POLL_MS * 1000000L };
    uint64_t deadline_ms = now_ms() + options->timeout_ms;
    unsigned long count;
    int error;

    for (;;) {
        count = ask_for_count(options, &error);
        if (error < 0 || (count == 0 && !until_gone))
            return CTL_DONE;
        if (now_ms() >= deadline_ms)
            break;
        nanosleep(&pause, NULL);
    }
    fprintf(stderr, "outriggerctl: not done after %llu ms: %lu inbound connections are left\n",
            (unsigned long long)options->timeout_ms, count);
    return CTL_UNREACHABLE;
}

static int command(const struct ctl_options *options, const char *path, bool until_gone)
{
    int code = ctl_ask_and_print(options, "POST", path, "");

    fflush(stdout);
    return code == CTL_DONE && options->wait ? await(options, until_gone) : code;
}

int ctl_drain(const struct ctl_options *options)
{
    return command(options, "/drain", false);
}

int ctl_quit(const struct ctl_options *options)
{
    return command(options, "/quit", true);
}

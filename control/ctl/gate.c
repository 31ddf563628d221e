#include "control/ctl/gate.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/macros.h"
#include "control/ctl/client.h"

#define MOST_PER_REQUEST_MS 1000

static uint64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* Whether it is ready; if not, *ret_why says why (released by the caller). */
static bool ask(const struct ctl_options *options, uint64_t timeout_ms, char **ret_why)
{
    struct client_answer answer;
    int r = client_request(options->socket_path, "GET", "/healthz/ready", "text/plain", "", timeout_ms, &answer);

    *ret_why = NULL;
    if (r < 0) {
        if (asprintf(ret_why, "no proxy answers on %s: %s\n", options->socket_path, strerror(-r)) < 0)
            *ret_why = NULL;
        return false;
    }
    if (answer.status == 200) {
        free(answer.body);
        return true;
    }
    *ret_why = answer.body;
    return false;
}

bool gate_is_disabled(void)
{
    const char *value = getenv("OUTRIGGER_DISABLED");

    return value && *value != '\0';
}

int gate_wait(const struct ctl_options *options, const sigset_t *ending)
{
    uint64_t deadline_ms = now_ms() + options->timeout_ms;

    for (;;) {
        uint64_t now = now_ms(), left_ms = deadline_ms > now ? deadline_ms - now : 0;
        uint64_t pause_ms = MIN(options->interval_ms, left_ms);
        struct timespec pause = { .tv_sec = (time_t)(pause_ms / 1000), .tv_nsec = (long)(pause_ms % 1000 * 1000000) };
        char *why;
        int number;

        if (ask(options, MIN(MAX(left_ms, (uint64_t)1), (uint64_t)MOST_PER_REQUEST_MS), &why)) {
            free(why);
            return 0;
        }
        if (left_ms == 0) {
            fprintf(stderr, "outriggerctl: not ready after %llu ms: %s", (unsigned long long)options->timeout_ms,
                    why ? why : "no memory\n");
            free(why);
            return -ETIMEDOUT;
        }
        free(why);
        number = sigtimedwait(ending, NULL, &pause);
        if (number > 0)
            return number;
    }
}

/*
 * The mutating admission webhook: POST /inject over HTTPS, /healthz/live, /healthz/ready and /metrics beside it. Runs
 * until SIGTERM: then it is not ready, goes on for a while, since the API server hears of that only later, answers what
 * is still asked, and ends. A second SIGTERM ends it at once.
 */
#pragma once

#include "inject/pod.h"

struct webhook_settings {
    const char *listen; /* ADDRESS:PORT */
    const char *certificate_path, *key_path;
    unsigned shutdown_delay_ms;
    struct inject_settings inject;
};

/* Returns the exit code: 0 after an orderly end, 1 when it could not start, which was logged. */
int webhook_run(const struct webhook_settings *settings);

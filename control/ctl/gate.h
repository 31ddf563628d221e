/* Waiting until the proxy is ready. */
#pragma once

#include <signal.h>

#include "control/ctl/ctl.h"

/*
 * Asks again and again until the proxy is ready. The signals in `ending` must be blocked; one of them ends the wait.
 * Returns 0 when ready, -ETIMEDOUT (what was in the way was printed), or the number of the signal.
 */
int gate_wait(const struct ctl_options *options, const sigset_t *ending);

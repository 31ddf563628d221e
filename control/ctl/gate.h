/* Waiting until the proxy is ready. */
#pragma once

#include <signal.h>
#include <stdbool.h>

#include "control/ctl/ctl.h"

/*
 * Asks again and again until the proxy is ready. The signals in `ending` must be blocked; one of them ends the wait.
 * Returns 0 when ready, -ETIMEDOUT (what was in the way was printed), or the number of the signal.
 */
int gate_wait(const struct ctl_options *options, const sigset_t *ending);

/* OUTRIGGER_DISABLED is set: an image whose command is wrapped runs where there is no proxy, too. */
bool gate_is_disabled(void);

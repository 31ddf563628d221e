/* What a failed attempt is called, whether it is retried, and how the connection ends when it is not. Pure. */
#pragma once

#include <stdbool.h>

#include "proxy/config/model.h"
#include "proxy/observe/counters.h"

/* What connect(2) says, or dial_go_on(), a negative errno, in the words of retry.on. */
enum connect_cause failure_cause(int error);

bool failure_is_retried(const struct retry_config *retry, enum connect_cause cause);
enum end_reason failure_end_reason(enum connect_cause cause);

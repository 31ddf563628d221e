/* What is wrong with a command line, one line each on stderr. Both return -EINVAL, for the caller to return. */
#pragma once

#include "base/macros.h"

/* About `value`, which `source` (an option, a variable) has; whatever bytes it has, the line stays one. */
int complain_of_value(const char *source, const char *value, const char *why);

int complain(const char *format, ...) PRINTF_LIKE(1, 2);

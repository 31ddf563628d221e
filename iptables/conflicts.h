/* What no single option can see. */
#pragma once

#include "iptables/options.h"

/* Prints a line for each conflict. Returns 0, or -EINVAL when there was one. */
int conflicts_check(const struct options *options);

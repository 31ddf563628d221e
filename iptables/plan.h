/* From options to rules. Pure: no input or output. */
#pragma once

#include "iptables/options.h"
#include "iptables/ruleset.h"

/* Appends to `ruleset`. Returns 0, -ENOMEM, or -E2BIG when the lists make too many rules. */
int plan_build(const struct options *options, struct ruleset *ruleset);

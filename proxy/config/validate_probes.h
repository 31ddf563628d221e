/* What of `probes` belongs together. For the configuration's files alone. */
#pragma once

#include "proxy/config/validate_place.h"

/* `probes` are written in validate->root; they need not be the configuration's yet. */
void validate_probes(const struct validate *validate, const struct probe_list *probes);

/* What of `probes` belongs together. For the configuration's files alone. */
#pragma once

#include "proxy/config/validate_place.h"

/* `probes` are those of validate->root, whose configuration may not be there. */
void validate_probes(const struct validate *validate, const struct probe_list *probes);

/* /metrics in the Prometheus text format, version 0.0.4. */
#pragma once

#include <stdbool.h>

#include "base/strbuf.h"
#include "proxy/observe/status.h"

/* `set` is NULL before there are clusters. */
void prometheus_append(struct cluster_set *set, bool ready, const struct status_configuration *configuration,
                       struct strbuf *text);

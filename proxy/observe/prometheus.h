/* /metrics in the Prometheus text format, version 0.0.4. */
#pragma once

#include <stdbool.h>

#include "base/strbuf.h"
#include "proxy/observe/counter_view.h"

void prometheus_append(const struct counter_view *view, bool ready, struct strbuf *text);

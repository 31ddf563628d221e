/* What /status answers: the process, its clusters and endpoints, as JSON for programs and as tables for people. */
#pragma once

#include <stdint.h>

#include "base/strbuf.h"
#include "proxy/observe/counter_view.h"

struct status_process {
    const char *state;
    const char *blockers; /* names in quotes, with commas between */
    uint64_t uptime_ms;
    double starting_s, ready_s, draining_s; /* when each state began, since the epoch; 0: not yet */
    unsigned active, max_connections, workers;
};

void status_append_json(const struct status_process *process, const struct counter_view *view, struct strbuf *text);
void status_append_text(const struct status_process *process, const struct counter_view *view, struct strbuf *text);

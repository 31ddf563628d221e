/* What /stats answers: the process as a whole, and its workers. */
#pragma once

#include <stdint.h>

#include "base/strbuf.h"
#include "proxy/observe/counters.h"

struct stats_worker {
    unsigned active;       /* connections */
    uint64_t last_turn_ms; /* how long ago its loop turned last; up to a second is usual */
    struct histogram lag;  /* by how much its timer of every second was late */
};

struct stats {
    uint64_t uptime_ms;
    double started_s, cpu_seconds; /* since the epoch; of the process so far */
    unsigned active, max_connections;
    unsigned long rate_pauses, famine_pauses; /* of accepting */
    uint64_t opened, ended, retries, hedges, connect_failures, bytes_from_client, bytes_from_upstream;
    uint64_t buffer_bytes, buffer_free_bytes; /* limits.buffer_memory, and what of it is free */
    uint64_t resident_bytes;
    unsigned descriptors, max_descriptors;
    unsigned old_configurations; /* that some connections stay with */
    uint64_t dropped_log_lines;
    const struct stats_worker *workers;
    unsigned worker_count;
};

/* Adds the counters of one direction. */
void stats_add(struct stats *stats, const struct counters *counters);

void stats_append_json(const struct stats *stats, struct strbuf *text);
void stats_append_text(const struct stats *stats, struct strbuf *text);

/* All workers' counters, for whoever adds them up. Thread: any. */
#pragma once

#include <stddef.h>

#include "proxy/observe/counters.h"
#include "proxy/upstream/cluster.h"

struct counter_view {
    struct cluster_set *clusters; /* NULL before there are any */
    const struct counter_shard *const *shards;
    unsigned shard_count;
};

const char *direction_name(enum direction direction);
const char *connect_cause_name(enum connect_cause cause);

/* The sum over the workers. */
struct counters counter_view_sum(const struct counter_view *view, size_t cluster, enum direction direction);

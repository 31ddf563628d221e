#include "proxy/observe/counter_view.h"

static const char *const direction_names[] = {
    [DIRECTION_OUTBOUND] = "outbound",
    [DIRECTION_INBOUND] = "inbound",
    [DIRECTION_LISTENER] = "listener",
};

static const char *const cause_names[] = {
#define X(constant, label) [CONNECT_CAUSE_##constant] = label,
    CONNECT_CAUSES(X)
#undef X
};

const char *direction_name(enum direction direction)
{
    return direction_names[direction];
}

const char *connect_cause_name(enum connect_cause cause)
{
    return cause_names[cause];
}

struct counters counter_view_sum(const struct counter_view *view, size_t cluster, enum direction direction)
{
    struct counters sum = { 0 };

    for (unsigned i = 0; i < view->shard_count; i++)
        counters_sum(&sum, counter_shard_get(view->shards[i], cluster, direction));
    return sum;
}

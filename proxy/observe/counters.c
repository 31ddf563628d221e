#include "proxy/observe/counters.h"

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

void counters_add(uint64_t *sum, const uint64_t *from, size_t bytes)
{
    for (size_t i = 0; i < bytes / sizeof *sum; i++)
        sum[i] += counter_read(&from[i]);
}

/* The struct is nothing but counters. */
void counters_sum(struct counters *sum, const struct counters *from)
{
    counters_add((uint64_t *)sum, (const uint64_t *)from, sizeof *sum);
}

uint64_t counters_ended(const struct counters *counters)
{
    uint64_t ended = 0;

    for (size_t i = 0; i < END_REASON_COUNT; i++)
        ended += counter_read(&counters->ended[i]);
    return ended;
}

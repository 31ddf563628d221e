#include "proxy/observe/counters.h"

#include <errno.h>
#include <stdlib.h>

int counter_shard_init(struct counter_shard *shard, size_t clusters)
{
    shard->items = calloc(clusters * DIRECTION_COUNT, sizeof *shard->items);
    shard->clusters = clusters;
    return shard->items ? 0 : -ENOMEM;
}

void counter_shard_done(struct counter_shard *shard)
{
    free(shard->items);
    shard->items = NULL;
}

/* The struct is nothing but counters. */
void counters_sum(struct counters *sum, const struct counters *from)
{
    uint64_t *to = (uint64_t *)sum;
    const uint64_t *add = (const uint64_t *)from;

    for (size_t i = 0; i < sizeof *sum / sizeof(uint64_t); i++)
        to[i] += counter_read(&add[i]);
}

uint64_t counters_ended(const struct counters *counters)
{
    uint64_t ended = 0;

    for (size_t i = 0; i < END_REASON_COUNT; i++)
        ended += counter_read(&counters->ended[i]);
    return ended;
}

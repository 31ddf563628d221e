/*
 * Load balancing: which endpoint of a level gets the next connection. One strategy a file. Each takes bounded time,
 * whatever is usable.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/random.h"
#include "proxy/upstream/endpoint_set.h"

/* A choice to be made. */
struct lb_choice {
    const struct endpoint_level *level;
    /* Whether an endpoint may be taken at all; `argument` is handed on. */
    bool (*is_usable)(const struct endpoint *endpoint, const void *argument);
    const void *argument;
    struct random *random;
    unsigned turn; /* of the connection among those of its cluster */
    uint64_t hash; /* of the client's address */
    uint64_t slow_start_ms, now_ms;
};

/* Returns NULL when nothing of the level is usable. */
typedef struct endpoint *lb_strategy(const struct lb_choice *choice);

lb_strategy lb_least_connections, lb_round_robin, lb_random, lb_source_hash;

/*
 * A usable slot at random, by weight; during slow start an endpoint is passed over in favour of others, less and less.
 * NULL when nothing is usable.
 */
const struct endpoint_slot *lb_draw(const struct lb_choice *choice);

/* An endpoint's share during slow start, in thousandths: from 100 up to 1000. */
unsigned lb_share(const struct lb_choice *choice, const struct endpoint *endpoint);

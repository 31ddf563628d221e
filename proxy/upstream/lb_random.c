#include "base/macros.h"
#include "proxy/upstream/lb.h"

#define MOST_DRAWS  8
#define WHOLE_SHARE 1000
#define LEAST_SHARE 100

unsigned lb_share(const struct lb_choice *choice, const struct endpoint *endpoint)
{
    uint64_t age_ms = choice->now_ms - MIN(endpoint->added_ms, choice->now_ms);

    if (choice->slow_start_ms == 0 || endpoint->added_ms == 0 || age_ms >= choice->slow_start_ms)
        return WHOLE_SHARE;
    return (unsigned)MAX(age_ms * WHOLE_SHARE / choice->slow_start_ms, (uint64_t)LEAST_SHARE);
}

/* The first usable one from a random place on. */
static const struct endpoint_slot *walk(const struct lb_choice *choice)
{
    const struct endpoint_level *level = choice->level;
    size_t first = random_below(choice->random, level->count);

    for (size_t i = 0; i < level->count; i++) {
        const struct endpoint_slot *slot = &level->slots[(first + i) % level->count];

        if (choice->is_usable(slot->endpoint, choice->argument))
            return slot;
    }
    return NULL;
}

const struct endpoint_slot *lb_draw(const struct lb_choice *choice)
{
    const struct endpoint_level *level = choice->level;
    const struct endpoint_slot *passed_over = NULL;

    for (int i = 0; i < MOST_DRAWS; i++) {
        size_t drawn = random_below(choice->random, level->sequence_length);
        const struct endpoint_slot *slot = &level->slots[level->sequence[drawn]];

        if (!choice->is_usable(slot->endpoint, choice->argument))
            continue;
        if (random_below(choice->random, WHOLE_SHARE) < lb_share(choice, slot->endpoint))
            return slot;
        passed_over = slot;
    }
    return passed_over ? passed_over : walk(choice);
}

struct endpoint *lb_random(const struct lb_choice *choice)
{
    const struct endpoint_slot *slot = lb_draw(choice);

    return slot ? slot->endpoint : NULL;
}

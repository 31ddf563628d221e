#include "proxy/upstream/lb.h"

#define MOST_DRAWS 4 /* for a second one that is another */

/* Another usable slot than `one`, at random if that is soon found; `one` when there is no other. */
static const struct endpoint_slot *draw_other(const struct lb_choice *choice, const struct endpoint_slot *one)
{
    const struct endpoint_level *level = choice->level;
    size_t place = (size_t)(one - level->slots);

    for (int i = 0; i < MOST_DRAWS; i++) {
        const struct endpoint_slot *other = lb_draw(choice);

        if (!other)
            break; /* what was usable a moment ago is not any more */
        if (other != one)
            return other;
    }
    for (size_t i = 1; i < level->count; i++) {
        const struct endpoint_slot *other = &level->slots[(place + i) % level->count];

        if (choice->is_usable(other->endpoint, choice->argument))
            return other;
    }
    return one;
}

/*
 * The power of two choices (Mitzenmacher): of two at random, the one with fewer connections for its weight. Nearly as
 * even as asking all of them, without the herd that runs to one that is empty for a moment.
 */
struct endpoint *lb_least_connections(const struct lb_choice *choice)
{
    const struct endpoint_slot *one = lb_draw(choice), *other;
    uint64_t one_load, other_load;

    if (!one || choice->level->count == 1)
        return one ? one->endpoint : NULL;
    other = draw_other(choice, one);
    one_load = (uint64_t)atomic_load_explicit(&one->endpoint->active, memory_order_relaxed) + 1;
    other_load = (uint64_t)atomic_load_explicit(&other->endpoint->active, memory_order_relaxed) + 1;
    /* load / weight, without dividing */
    return one_load * other->weight <= other_load * one->weight ? one->endpoint : other->endpoint;
}

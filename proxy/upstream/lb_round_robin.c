#include "proxy/upstream/lb.h"

static bool is_taken(const struct lb_choice *choice, const struct endpoint *endpoint)
{
    unsigned share = lb_share(choice, endpoint);

    return choice->is_usable(endpoint, choice->argument) &&
           (share == 1000 || random_below(choice->random, 1000) < share);
}

/* Where it is the turn of one that cannot be used, the turn goes to any other, or the next would have two shares. */
struct endpoint *lb_round_robin(const struct lb_choice *choice)
{
    const struct endpoint_level *level = choice->level;
    size_t turn = choice->turn % level->sequence_length, first;
    struct endpoint *endpoint = level->slots[level->sequence[turn]].endpoint, *passed_over = NULL;

    if (is_taken(choice, endpoint))
        return endpoint;
    first = random_below(choice->random, level->sequence_length);
    for (size_t i = 0; i < level->sequence_length; i++) {
        endpoint = level->slots[level->sequence[(first + i) % level->sequence_length]].endpoint;
        if (is_taken(choice, endpoint))
            return endpoint;
        if (!passed_over && choice->is_usable(endpoint, choice->argument))
            passed_over = endpoint;
    }
    return passed_over;
}

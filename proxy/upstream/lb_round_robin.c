#include "proxy/upstream/lb.h"

struct endpoint *lb_round_robin(const struct lb_choice *choice)
{
    const struct endpoint_level *level = choice->level;
    struct endpoint *passed_over = NULL;

    for (size_t i = 0; i < level->sequence_length; i++) {
        size_t turn = ((size_t)choice->turn + i) % level->sequence_length;
        struct endpoint *endpoint = level->slots[level->sequence[turn]].endpoint;
        unsigned share = lb_share(choice, endpoint);

        if (!choice->is_usable(endpoint, choice->argument))
            continue;
        if (share == 1000 || random_below(choice->random, 1000) < share)
            return endpoint;
        passed_over = passed_over ? passed_over : endpoint;
    }
    return passed_over;
}

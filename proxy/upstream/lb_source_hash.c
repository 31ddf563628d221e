#include <math.h>

#include "base/hash.h"
#include "proxy/upstream/lb.h"

/* In (0, 1). */
static double fraction(uint64_t value)
{
    return ((double)(value >> 11) + 0.5) / 9007199254740992.0;
}

/*
 * Rendezvous hashing (Thaler and Ravishankar, weights after Schindelhauer and Schomaker): every endpoint draws a lot
 * for the client, and the best has it. When one goes away, only its own clients move, and each to another.
 */
struct endpoint *lb_source_hash(const struct lb_choice *choice)
{
    const struct endpoint_level *level = choice->level;
    struct endpoint *best = NULL;
    double best_score = 0;

    for (size_t i = 0; i < level->count; i++) {
        const struct endpoint_slot *slot = &level->slots[i];
        double score;

        if (!choice->is_usable(slot->endpoint, choice->argument))
            continue;
        score = -(double)slot->weight / log(fraction(hash_mix(slot->endpoint->hash ^ hash_mix(choice->hash))));
        if (!best || score > best_score) {
            best = slot->endpoint;
            best_score = score;
        }
    }
    return best;
}

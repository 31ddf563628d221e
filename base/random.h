/* Fast random numbers for load balancing and jitter, never for secrets. One generator a thread. */
#pragma once

#include <stdint.h>

struct random {
    uint64_t state[2];
};

void random_init(struct random *random, uint64_t seed);

/* Seeds from the kernel. */
void random_init_from_system(struct random *random);

uint64_t random_next(struct random *random);

/* Uniform in [0, bound); 0 when `bound` is 0. */
uint64_t random_below(struct random *random, uint64_t bound);

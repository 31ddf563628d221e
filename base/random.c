#include "base/random.h"

#include <sys/random.h>

#include "base/clock.h"

/* splitmix64 spreads a poor seed over the state (Steele, Lea, Flood 2014). */
static uint64_t spread(uint64_t *seed)
{
    uint64_t z = *seed += 0x9e3779b97f4a7c15;

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
}

void random_init(struct random *random, uint64_t seed)
{
    random->state[0] = spread(&seed);
    random->state[1] = spread(&seed);
}

void random_init_from_system(struct random *random)
{
    uint64_t seed;

    if (getrandom(&seed, sizeof seed, GRND_NONBLOCK) != sizeof seed)
        seed = clock_now_ms() ^ (uint64_t)(uintptr_t)random;
    random_init(random, seed);
}

/* xorshift128+ (Vigna 2014). */
uint64_t random_next(struct random *random)
{
    uint64_t x = random->state[0], y = random->state[1];

    random->state[0] = y;
    x ^= x << 23;
    random->state[1] = x ^ y ^ (x >> 17) ^ (y >> 26);
    return random->state[1] + y;
}

uint64_t random_below(struct random *random, uint64_t bound)
{
    return (uint64_t)(((unsigned __int128)random_next(random) * bound) >> 64);
}

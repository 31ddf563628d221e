#include "tests/torture/plan.h"

#include "base/random.h"

/* More than that would take too long: the kernel sends little and waits in between. */
#define MOST_THROUGH_TINY_WINDOW 20000

static uint64_t draw_size(struct random *random)
{
    switch (random_below(random, 10)) {
    case 0:
        return 0;
    case 1:
    case 2:
    case 3:
        return random_below(random, 100);
    case 4:
    case 5:
    case 6:
        return random_below(random, 20000);
    case 7:
    case 8:
        return random_below(random, 300000);
    default:
        return random_below(random, 2000000);
    }
}

static struct plan draw(uint64_t seed, uint64_t number, enum side side)
{
    struct random random;
    struct plan plan = { 0 };
    uint64_t finish;

    random_init(&random, seed * 1000003 + number * 2 + side);
    for (int i = 0; i < 4; i++)
        random_next(&random); /* neighbouring seeds must not begin alike */
    plan.send_bytes = draw_size(&random);
    finish = random_below(&random, 10);
    plan.finish = finish < 7 ? FINISH_FIN : finish < 8 ? FINISH_CLOSE : FINISH_RESET;
    plan.largest_write = random_below(&random, 4) == 0 ? 1 + random_below(&random, 100)
                                                       : 1 + random_below(&random, 100000);
    plan.largest_read = random_below(&random, 4) == 0 ? 1000 + random_below(&random, 4000)
                                                      : 1000 + random_below(&random, 200000);
    plan.pause_percent = random_below(&random, 3) == 0 ? (unsigned)random_below(&random, 30) : 0;
    plan.longest_pause_ms = 1 + (unsigned)random_below(&random, 15);
    plan.stop_reading_ms = random_below(&random, 10) == 0 ? (unsigned)random_below(&random, 300) : 0;
    plan.receive_buffer = random_below(&random, 5) == 0 ? 16384 + (int)random_below(&random, 60000) : 0;
    plan.says_nothing = side == SIDE_CLIENT && random_below(&random, 25) == 0;
    plan.aborts = plan.says_nothing && random_below(&random, 2) == 0;
    plan.tiny_window = random_below(&random, 10) == 0;
    if (plan.send_bytes > 200 * plan.largest_write)
        plan.pause_percent = 0;
    if (plan.send_bytes > 1000 * plan.largest_write) /* or it would take minutes */
        plan.send_bytes %= 1000 * plan.largest_write;
    return plan;
}

struct plan plan_draw(uint64_t seed, uint64_t number, enum side side)
{
    struct plan plan = draw(seed, number, side);
    struct plan peer = draw(seed, number, side == SIDE_CLIENT ? SIDE_SERVER : SIDE_CLIENT);

    if (peer.send_bytes > MOST_THROUGH_TINY_WINDOW)
        plan.tiny_window = false;
    return plan;
}

unsigned char plan_byte(uint64_t number, enum side side, uint64_t place)
{
    return (unsigned char)(number * 7 + place * 31 + (place >> 9) + (unsigned)side * 101);
}

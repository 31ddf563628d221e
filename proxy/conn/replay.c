#include "proxy/conn/replay.h"

#include <errno.h>
#include <stdlib.h>

#include "base/macros.h"

/* A chunk holds at least 4 KiB but for the last, and retry.replay allows 1 MiB. */
#define MOST_CHUNKS (1024 * 1024 / CHUNK_STEP + 1)

struct replay *replay_new(size_t most_bytes)
{
    struct replay *replay = calloc(1, sizeof *replay);

    if (replay)
        replay->most_bytes = most_bytes;
    return replay;
}

static void give_up(struct replay *replay, struct buffer_budget *budget)
{
    buffer_budget_give(budget, replay->kept.capacity);
    chunk_queue_done(&replay->kept);
    replay->given_up = true;
}

void replay_free(struct replay *replay, struct buffer_budget *budget)
{
    if (!replay)
        return;
    give_up(replay, budget);
    free(replay);
}

/* Takes all of `bytes` or nothing. */
static bool take_all(struct buffer_budget *budget, size_t bytes)
{
    size_t taken = buffer_budget_take(budget, bytes);

    if (taken == bytes)
        return true;
    buffer_budget_give(budget, taken);
    return false;
}

static size_t growth(const struct chunk_queue *queue, size_t length)
{
    size_t room = MIN(chunk_queue_room(queue), length);

    return (length - room + CHUNK_STEP - 1) / CHUNK_STEP * CHUNK_STEP;
}

void replay_keep(struct replay *replay, const void *bytes, size_t length, struct buffer_budget *budget)
{
    size_t more = growth(&replay->kept, length);

    if (replay->given_up)
        return;
    if (length > replay->most_bytes - replay->kept.length || !take_all(budget, more)) {
        give_up(replay, budget);
        return;
    }
    if (chunk_queue_append(&replay->kept, bytes, length) < 0) {
        buffer_budget_give(budget, more);
        give_up(replay, budget);
    }
}

int replay_restore(const struct replay *replay, struct chunk_queue *queue, struct buffer_budget *budget)
{
    struct iovec vectors[MOST_CHUNKS];
    int count = chunk_queue_peek(&replay->kept, vectors, ARRAY_SIZE(vectors));
    size_t needed = growth(queue, replay->kept.length);
    size_t charged = needed > BUFFER_QUANTUM ? needed - BUFFER_QUANTUM : 0;
    struct chunk_queue restored = { 0 };
    size_t total = 0;
    char *bytes;
    int r;

    for (int i = 0; i < count; i++)
        total += vectors[i].iov_len;
    if (total < replay->kept.length || !take_all(budget, charged))
        return -ENOMEM;
    /* One append, so that the capacity is exactly what was reckoned. */
    bytes = malloc(total + 1);
    r = bytes ? 0 : -ENOMEM;
    total = 0;
    for (int i = 0; r == 0 && i < count; i++) {
        __builtin_memcpy(bytes + total, vectors[i].iov_base, vectors[i].iov_len);
        total += vectors[i].iov_len;
    }
    if (r == 0)
        r = chunk_queue_append(&restored, bytes, total);
    free(bytes);
    if (r < 0) {
        buffer_budget_give(budget, charged);
        return r;
    }
    *queue = restored;
    return 0;
}

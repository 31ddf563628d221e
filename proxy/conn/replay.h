/*
 * What a client has sent, kept until the first byte of the reply, so that a retry can send it again (retry.replay).
 * Beyond its limit, or without memory, it is given up: then the connection is no longer retried.
 *
 * Owner: the connection. Thread: its worker's. Its memory counts in the buffer budget.
 */
#pragma once

#include <stdbool.h>

#include "base/chunk_queue.h"
#include "proxy/conn/buffer_memory.h"

struct replay {
    struct chunk_queue kept;
    size_t most_bytes;
    bool given_up;
};

/* NULL without memory: then there is no replay. */
struct replay *replay_new(size_t most_bytes);
void replay_free(struct replay *replay, struct buffer_budget *budget);

void replay_keep(struct replay *replay, const void *bytes, size_t length, struct buffer_budget *budget);

/*
 * Makes `queue` (empty, and charged for as a pump's) hold all that was kept.
 * Returns 0 or -ENOMEM; then the queue is unchanged.
 */
int replay_restore(const struct replay *replay, struct chunk_queue *queue, struct buffer_budget *budget);

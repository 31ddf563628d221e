#include "base/chunk_queue.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/macros.h"

struct chunk {
    struct chunk *next;
    size_t capacity; /* a multiple of CHUNK_STEP: what the chunk is charged for; the header comes on top */
    size_t start;    /* first waiting byte */
    size_t end;      /* behind the last waiting byte */
    char bytes[];
};

static struct chunk *chunk_new(size_t wanted)
{
    size_t capacity = MIN((wanted + CHUNK_STEP - 1) / CHUNK_STEP * CHUNK_STEP, (size_t)CHUNK_LARGEST);
    struct chunk *chunk = malloc(sizeof *chunk + capacity);

    if (chunk) {
        chunk->next = NULL;
        chunk->capacity = capacity;
        chunk->start = 0;
        chunk->end = 0;
    }
    return chunk;
}

static void free_chain(struct chunk *chunk)
{
    while (chunk) {
        struct chunk *next = chunk->next;

        free(chunk);
        chunk = next;
    }
}

void chunk_queue_done(struct chunk_queue *queue)
{
    free_chain(queue->first);
    *queue = (struct chunk_queue){ 0 };
}

size_t chunk_queue_room(const struct chunk_queue *queue)
{
    return queue->last ? queue->last->capacity - queue->last->end : 0;
}

int chunk_queue_append(struct chunk_queue *queue, const void *bytes, size_t length)
{
    size_t into_last = MIN(chunk_queue_room(queue), length);
    size_t rest = length - into_last, gained = 0;
    const char *from = (const char *)bytes + into_last;
    struct chunk *fresh = NULL, **tail = &fresh, *last = queue->last;

    /* New chunks are made before anything changes, so that a failure leaves the queue as it was. */
    while (rest > 0) {
        struct chunk *chunk = chunk_new(rest);

        if (!chunk) {
            free_chain(fresh);
            return -ENOMEM;
        }
        chunk->end = MIN(rest, chunk->capacity);
        memcpy(chunk->bytes, from, chunk->end);
        from += chunk->end;
        rest -= chunk->end;
        gained += chunk->capacity;
        *tail = chunk;
        tail = &chunk->next;
        last = chunk;
    }
    if (into_last > 0) {
        memcpy(queue->last->bytes + queue->last->end, bytes, into_last);
        queue->last->end += into_last;
    }
    if (fresh) {
        if (queue->last)
            queue->last->next = fresh;
        else
            queue->first = fresh;
        queue->last = last;
    }
    queue->length += length;
    queue->capacity += gained;
    return 0;
}

int chunk_queue_peek(const struct chunk_queue *queue, struct iovec *vectors, int most)
{
    int count = 0;

    for (struct chunk *chunk = queue->first; chunk && count < most; chunk = chunk->next) {
        vectors[count].iov_base = chunk->bytes + chunk->start;
        vectors[count].iov_len = chunk->end - chunk->start;
        count++;
    }
    return count;
}

void chunk_queue_consume(struct chunk_queue *queue, size_t length)
{
    assert(length <= queue->length);
    queue->length -= length;
    while (queue->first) {
        struct chunk *chunk = queue->first;
        size_t waiting = chunk->end - chunk->start;

        if (length < waiting) {
            chunk->start += length;
            return;
        }
        length -= waiting;
        queue->first = chunk->next;
        queue->capacity -= chunk->capacity;
        free(chunk);
    }
    queue->last = NULL;
}

/*
 * Bytes that a peer would not take yet, in order. Memory comes in chunks of whole 4 KiB steps, so that what a queue
 * holds (chunk_queue_capacity) is what it is charged for, and an empty queue holds nothing. Owner: one direction of one
 * connection. Thread: its worker's.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/uio.h>

#define CHUNK_STEP    4096
#define CHUNK_LARGEST (64 * 1024)

struct chunk;

struct chunk_queue {
    struct chunk *first;
    struct chunk *last;
    size_t length;   /* bytes waiting */
    size_t capacity; /* bytes of memory held, a multiple of CHUNK_STEP */
};

/* An all-zero struct is an empty queue. */
void chunk_queue_done(struct chunk_queue *queue);

/*
 * Appends a copy of `bytes`.
 * Returns 0, or -ENOMEM; then the queue is as it was before.
 */
int chunk_queue_append(struct chunk_queue *queue, const void *bytes, size_t length);

/* Bytes that can be appended without taking more memory. */
size_t chunk_queue_room(const struct chunk_queue *queue);

/* Points up to `most` vectors at the waiting bytes, in order; returns how many were set. */
int chunk_queue_peek(const struct chunk_queue *queue, struct iovec *vectors, int most);

/* Forgets the first `length` bytes, which are at most the queue's length. */
void chunk_queue_consume(struct chunk_queue *queue, size_t length);

static inline bool chunk_queue_is_empty(const struct chunk_queue *queue)
{
    return queue->length == 0;
}

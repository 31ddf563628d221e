/* Bytes that a sink has not taken yet, in order, up to a limit. Thread: the log writer's. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct log_queue {
    char *bytes;
    size_t begin, end, capacity, most;
};

void log_queue_init(struct log_queue *queue, size_t most);
void log_queue_done(struct log_queue *queue);

/* Appends both whole, or nothing: false when there is no room, or no memory. `head` may be empty. */
bool log_queue_add(struct log_queue *queue, const char *head, size_t head_length, const char *line, size_t length);

static inline size_t log_queue_length(const struct log_queue *queue)
{
    return queue->end - queue->begin;
}

static inline const char *log_queue_front(const struct log_queue *queue)
{
    return queue->bytes + queue->begin;
}

/* At most log_queue_length(). The memory is given back when it is empty. */
void log_queue_consume(struct log_queue *queue, size_t length);

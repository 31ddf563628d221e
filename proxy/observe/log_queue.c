#include "proxy/observe/log_queue.h"

#include <stdlib.h>
#include <string.h>

#include "base/macros.h"

#define FIRST_CAPACITY (16 * 1024)

void log_queue_init(struct log_queue *queue, size_t most)
{
    *queue = (struct log_queue){ .most = most };
}

void log_queue_done(struct log_queue *queue)
{
    free(queue->bytes);
    *queue = (struct log_queue){ .most = queue->most };
}

/* Room for so many bytes at the end. */
static bool make_room(struct log_queue *queue, size_t length)
{
    size_t used = log_queue_length(queue), capacity = MAX(queue->capacity, (size_t)FIRST_CAPACITY);
    char *bytes;

    if (queue->end + length <= queue->capacity)
        return true;
    if (queue->begin > 0) {
        memmove(queue->bytes, queue->bytes + queue->begin, used);
        queue->begin = 0;
        queue->end = used;
    }
    while (capacity / 2 < used + length) /* half of it stays free, or the next ones would be moved again and again */
        capacity *= 2;
    if (capacity <= queue->capacity)
        return true;
    bytes = realloc(queue->bytes, capacity);
    if (!bytes)
        return queue->end + length <= queue->capacity;
    queue->bytes = bytes;
    queue->capacity = capacity;
    return true;
}

bool log_queue_add(struct log_queue *queue, const char *head, size_t head_length, const char *line, size_t length)
{
    if (log_queue_length(queue) + head_length + length > queue->most || !make_room(queue, head_length + length))
        return false;
    memcpy(queue->bytes + queue->end, head, head_length);
    memcpy(queue->bytes + queue->end + head_length, line, length);
    queue->end += head_length + length;
    return true;
}

void log_queue_consume(struct log_queue *queue, size_t length)
{
    queue->begin += length;
    if (queue->begin < queue->end)
        return;
    queue->begin = queue->end = 0;
    if (queue->capacity > FIRST_CAPACITY)
        log_queue_done(queue);
}

#include "proxy/upstream/wait_queue.h"

#include "base/macros.h"

void wait_queue_init(struct wait_queue *queue)
{
    pthread_mutex_init(&queue->mutex, NULL);
    list_init(&queue->waiters);
    atomic_init(&queue->count, 0);
}

void wait_queue_done(struct wait_queue *queue)
{
    pthread_mutex_destroy(&queue->mutex);
}

static void unlink_waiter(struct wait_queue *queue, struct waiter *waiter)
{
    list_remove(&waiter->node);
    waiter->is_waiting = false;
    atomic_fetch_sub(&queue->count, 1);
}

static void grant_locked(struct wait_queue *queue, bool (*take)(void *owner), void *owner)
{
    while (!list_is_empty(&queue->waiters) && take(owner)) {
        struct waiter *first = CONTAINER_OF(queue->waiters.next, struct waiter, node);

        unlink_waiter(queue, first);
        first->granted(first);
    }
}

bool wait_queue_add(struct wait_queue *queue, struct waiter *waiter, unsigned most, bool (*take)(void *owner),
                    void *owner)
{
    bool has_room;

    pthread_mutex_lock(&queue->mutex);
    has_room = most == 0 || atomic_load(&queue->count) < most;
    if (has_room) {
        list_append(&queue->waiters, &waiter->node);
        waiter->is_waiting = true;
        /* Counted before a place is asked for, and places are given back before the count is read: one of both sees the
         * other. */
        atomic_fetch_add(&queue->count, 1);
        grant_locked(queue, take, owner);
    }
    pthread_mutex_unlock(&queue->mutex);
    return has_room;
}

void wait_queue_grant(struct wait_queue *queue, bool (*take)(void *owner), void *owner)
{
    pthread_mutex_lock(&queue->mutex);
    grant_locked(queue, take, owner);
    pthread_mutex_unlock(&queue->mutex);
}

bool wait_queue_remove(struct wait_queue *queue, struct waiter *waiter)
{
    bool was_waiting;

    pthread_mutex_lock(&queue->mutex);
    was_waiting = waiter->is_waiting;
    if (was_waiting)
        unlink_waiter(queue, waiter);
    pthread_mutex_unlock(&queue->mutex);
    return was_waiting;
}

/*
 * Connections that wait until one of their cluster's ends: first come, first served, over all workers.
 *
 * Thread: any. A waiter belongs to its connection; between wait_queue_add() and its grant, or wait_queue_remove(), it
 * must stay where it is.
 */
#pragma once

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "base/list.h"

struct waiter {
    struct list_node node; /* in the queue; not linked once granted */
    /* Called with the queue locked, by whichever thread has granted: wakes the waiter's own thread, nothing more. */
    void (*granted)(struct waiter *waiter);
    bool is_waiting; /* under the queue's mutex */
};

struct wait_queue {
    pthread_mutex_t mutex;
    struct list_node waiters;
    atomic_uint count; /* of waiters; read without the mutex */
};

void wait_queue_init(struct wait_queue *queue);
void wait_queue_done(struct wait_queue *queue);

/*
 * Appends `waiter`, unless `most` (0: no limit) wait already, and then grants whoever may go on: a place may have
 * become free meanwhile. `take` is asked for a place. Returns false when the queue is full.
 */
bool wait_queue_add(struct wait_queue *queue, struct waiter *waiter, unsigned most, bool (*take)(void *owner),
                    void *owner);

/* Places may have become free: grants from the first on, as long as `take` gets one. */
void wait_queue_grant(struct wait_queue *queue, bool (*take)(void *owner), void *owner);

/* Takes the waiter out. Returns false when it was granted already: then it has a place, which it must give back. */
bool wait_queue_remove(struct wait_queue *queue, struct waiter *waiter);

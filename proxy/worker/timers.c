#include "proxy/worker/timers.h"

#include <event2/event.h>

#include "base/clock.h"

/* A pairing heap (Fredman et al. 1986): intrusive, so that arming a timer cannot fail. */
static struct timer *merge(struct timer *a, struct timer *b)
{
    struct timer *parent, *child;

    if (!a || !b)
        return a ? a : b;
    parent = a->deadline_ms <= b->deadline_ms ? a : b;
    child = parent == a ? b : a;
    child->in_heap.next = parent->in_heap.child;
    if (parent->in_heap.child)
        parent->in_heap.child->in_heap.previous = child;
    child->in_heap.previous = parent;
    parent->in_heap.child = child;
    parent->in_heap.next = NULL;
    parent->in_heap.previous = NULL;
    return parent;
}

/* Makes one heap of a list of siblings: pairs from left to right, then all from right to left. */
static struct timer *merge_siblings(struct timer *first)
{
    struct timer *pairs = NULL, *merged = NULL;

    while (first) {
        struct timer *second = first->in_heap.next;
        struct timer *rest = second ? second->in_heap.next : NULL;
        struct timer *pair;

        first->in_heap.next = NULL;
        if (second)
            second->in_heap.next = NULL;
        pair = merge(first, second);
        pair->in_heap.previous = NULL;
        pair->in_heap.next = pairs;
        pairs = pair;
        first = rest;
    }
    while (pairs) {
        struct timer *rest = pairs->in_heap.next;

        pairs->in_heap.next = NULL;
        merged = merge(merged, pairs);
        pairs = rest;
    }
    return merged;
}

static void heap_remove(struct timers *timers, struct timer *timer)
{
    struct timer *children = merge_siblings(timer->in_heap.child);

    if (timers->earliest == timer) {
        timers->earliest = children;
    } else {
        struct timer *previous = timer->in_heap.previous;

        if (previous->in_heap.child == timer)
            previous->in_heap.child = timer->in_heap.next;
        else
            previous->in_heap.next = timer->in_heap.next;
        if (timer->in_heap.next)
            timer->in_heap.next->in_heap.previous = previous;
        timers->earliest = merge(timers->earliest, children);
    }
    if (timers->earliest) {
        timers->earliest->in_heap.previous = NULL;
        timers->earliest->in_heap.next = NULL;
    }
}

static void arm_event(struct event *event, uint64_t wait_ms)
{
    struct timeval wait = { .tv_sec = (time_t)(wait_ms / 1000), .tv_usec = (suseconds_t)(wait_ms % 1000 * 1000) };

    event_add(event, &wait);
}

static void arm_heap_event(struct timers *timers, uint64_t now_ms)
{
    uint64_t deadline_ms;

    if (!timers->base || !timers->earliest || timers->earliest->deadline_ms >= timers->heap_armed_ms)
        return;
    deadline_ms = timers->earliest->deadline_ms;
    timers->heap_armed_ms = deadline_ms;
    arm_event(&timers->heap_event, deadline_ms > now_ms ? deadline_ms - now_ms : 0);
}

static void on_event(evutil_socket_t fd, short what, void *argument)
{
    (void)fd;
    (void)what;
    timers_run(argument, clock_now_ms());
}

void timers_init(struct timers *timers, struct event_base *base, uint64_t now_ms)
{
    *timers = (struct timers){ .base = base, .heap_armed_ms = UINT64_MAX, .tick = now_ms / TIMERS_TICK_MS };
    for (size_t i = 0; i < TIMERS_SLOTS; i++)
        list_init(&timers->slots[i]);
    if (!base)
        return;
    event_assign(&timers->heap_event, base, -1, 0, on_event, timers);
    event_assign(&timers->wheel_event, base, -1, 0, on_event, timers);
}

void timers_done(struct timers *timers)
{
    if (!timers->base)
        return;
    event_del(&timers->heap_event);
    event_del(&timers->wheel_event);
}

void timers_cancel(struct timers *timers, struct timer *timer)
{
    if (timer->place == TIMER_IN_HEAP)
        heap_remove(timers, timer);
    else if (timer->place == TIMER_ON_WHEEL) {
        list_remove(&timer->on_wheel);
        timers->on_wheel--;
    }
    timer->place = TIMER_IDLE;
}

void timers_arm_exact(struct timers *timers, struct timer *timer, uint64_t deadline_ms)
{
    timers_cancel(timers, timer);
    timer->deadline_ms = deadline_ms;
    timer->in_heap.child = NULL;
    timer->in_heap.next = NULL;
    timer->in_heap.previous = NULL;
    timer->place = TIMER_IN_HEAP;
    timers->earliest = merge(timers->earliest, timer);
    if (timers->earliest == timer)
        arm_heap_event(timers, timers->base ? clock_now_ms() : 0);
}

void timers_arm_lazy(struct timers *timers, struct timer *timer, uint64_t deadline_ms, uint64_t now_ms)
{
    uint64_t tick = (deadline_ms + TIMERS_TICK_MS - 1) / TIMERS_TICK_MS;

    timers_cancel(timers, timer);
    if (timers->on_wheel == 0)
        timers->tick = now_ms / TIMERS_TICK_MS; /* the wheel stood still */
    if (tick <= timers->tick)
        tick = timers->tick + 1;
    if (tick > timers->tick + TIMERS_SLOTS - 1)
        tick = timers->tick + TIMERS_SLOTS - 1;
    timer->deadline_ms = deadline_ms;
    timer->place = TIMER_ON_WHEEL;
    list_append(&timers->slots[tick % TIMERS_SLOTS], &timer->on_wheel);
    if (timers->on_wheel++ == 0 && timers->base)
        arm_event(&timers->wheel_event, TIMERS_TICK_MS);
}

static void turn_wheel(struct timers *timers, uint64_t now_ms)
{
    uint64_t now_tick = now_ms / TIMERS_TICK_MS;

    if (now_tick > timers->tick + TIMERS_SLOTS)
        timers->tick = now_tick - TIMERS_SLOTS; /* after a long stop: every slot once */
    while (timers->tick < now_tick) {
        struct list_node *slot = &timers->slots[++timers->tick % TIMERS_SLOTS];
        struct list_node due;

        /* Moved aside, so that what is armed again in here waits for the wheel to come round. */
        list_init(&due);
        while (!list_is_empty(slot)) {
            struct list_node *node = slot->next;

            list_remove(node);
            list_append(&due, node);
        }
        while (!list_is_empty(&due)) {
            struct timer *timer = CONTAINER_OF(due.next, struct timer, on_wheel);

            timers_cancel(timers, timer);
            timer->fire(timer, now_ms);
        }
    }
}

void timers_run(struct timers *timers, uint64_t now_ms)
{
    timers->heap_armed_ms = UINT64_MAX;
    while (timers->earliest && timers->earliest->deadline_ms <= now_ms) {
        struct timer *timer = timers->earliest;

        timers_cancel(timers, timer);
        timer->fire(timer, now_ms);
    }
    arm_heap_event(timers, now_ms);
    if (timers->on_wheel > 0)
        turn_wheel(timers, now_ms);
    if (timers->on_wheel > 0 && timers->base)
        arm_event(&timers->wheel_event, TIMERS_TICK_MS);
}

/*
 * A worker's timers. Two kinds: exact ones (connect attempts, backoff), kept in a heap; and lazy ones for the many
 * established connections, kept on a wheel of 100 ms, which nobody moves when bytes pass: what fires early looks at
 * the clock and is armed again.
 *
 * Owner: the worker; a timer belongs to the struct around it. Thread: the worker's.
 */
#pragma once

#include <event2/event_struct.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/list.h"

#define TIMERS_TICK_MS 100
#define TIMERS_SLOTS   512 /* later deadlines fire early, after TIMERS_SLOTS ticks */

enum timer_place {
    TIMER_IDLE,
    TIMER_IN_HEAP,
    TIMER_ON_WHEEL,
};

/* An all-zero struct with `fire` set is an idle timer. */
struct timer {
    uint64_t deadline_ms;
    void (*fire)(struct timer *timer, uint64_t now_ms);
    union {
        struct list_node on_wheel;
        struct {
            struct timer *child, *next, *previous; /* previous: the elder sibling, or the parent of a first child */
        } in_heap;
    };
    enum timer_place place;
};

struct timers {
    struct event_base *base;
    struct timer *earliest;
    struct event heap_event;
    uint64_t heap_armed_ms; /* when heap_event fires; UINT64_MAX: not armed */
    struct list_node slots[TIMERS_SLOTS];
    size_t on_wheel;
    uint64_t tick; /* the last one that was handled, now_ms / TIMERS_TICK_MS */
    struct event wheel_event;
};

/* `base` NULL: no events; the owner calls timers_run() (unit tests). */
void timers_init(struct timers *timers, struct event_base *base, uint64_t now_ms);
void timers_done(struct timers *timers);

/* Each takes an armed timer out of its old place first. */
void timers_arm_exact(struct timers *timers, struct timer *timer, uint64_t deadline_ms);
void timers_arm_lazy(struct timers *timers, struct timer *timer, uint64_t deadline_ms, uint64_t now_ms);
void timers_cancel(struct timers *timers, struct timer *timer);

/* Fires what is due. */
void timers_run(struct timers *timers, uint64_t now_ms);

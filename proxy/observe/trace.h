/*
 * What chosen connections do, step by step, for a person who watches: `outriggerctl trace`. Off, it costs one look at a
 * flag for each change of a state. On, steps of what was chosen go into a ring of bounded size; who is too slow to
 * take them out loses the newest, and is told how many.
 *
 * Thread: any; the flag is atomic, the rest is under a mutex.
 */
#pragma once

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/strbuf.h"

#define TRACE_MOST_STEPS  4096
#define TRACE_NAME_SIZE   64
#define TRACE_DETAIL_SIZE 192

struct trace_step {
    double time_s; /* since the epoch */
    uint64_t id;
    unsigned worker;
    const char *from, *to; /* states; static. `from` NULL: no change of the state */
    char cluster[TRACE_NAME_SIZE], detail[TRACE_DETAIL_SIZE];
};

/* What is chosen: a cluster's connections, or one connection. */
struct trace_choice {
    char cluster[TRACE_NAME_SIZE]; /* "": a connection */
    uint64_t id;
    unsigned worker;
};

struct trace {
    atomic_bool is_on;
    pthread_mutex_t mutex;
    struct trace_choice choice;
    uint64_t session; /* whoever watches; 0: nobody */
    struct trace_step *steps;
    size_t count;
    unsigned long dropped;
};

void trace_init(struct trace *trace);
void trace_done(struct trace *trace);

/* Begins, or goes on. Returns 0, -EBUSY when another session watches, or -ENOMEM. */
int trace_watch(struct trace *trace, uint64_t session, const struct trace_choice *choice);
void trace_stop(struct trace *trace);

static inline bool trace_is_on(const struct trace *trace)
{
    return atomic_load_explicit(&trace->is_on, memory_order_relaxed);
}

/* Keeps it, where it was chosen; `step` is copied. */
void trace_keep(struct trace *trace, const struct trace_step *step);

/* Takes out what there is: a line each, or a JSON object each; and how many were dropped. */
void trace_take(struct trace *trace, bool wants_text, struct strbuf *text);

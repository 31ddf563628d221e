/*
 * The hard bound on memory for bytes in transit (limits.buffer_memory). A read reserves before it reads, since bytes
 * that were read cannot be given back. The process's share is one atomic number; each worker keeps a little at hand, so
 * that in steady state nothing shared is touched.
 *
 * Thread: struct buffer_memory any; struct buffer_budget its worker's.
 */
#pragma once

#include <stdatomic.h>
#include <stddef.h>

/* Each direction's own memory, outside the budget, so that no connection starves. */
#define BUFFER_QUANTUM 4096

struct buffer_memory {
    atomic_size_t free_bytes;
    size_t total_bytes;
};

struct buffer_budget {
    struct buffer_memory *memory;
    size_t at_hand_bytes;
};

void buffer_memory_init(struct buffer_memory *memory, size_t total_bytes);

/* Takes up to `wanted` bytes; returns how many it got. */
size_t buffer_budget_take(struct buffer_budget *budget, size_t wanted);

void buffer_budget_give(struct buffer_budget *budget, size_t bytes);

/* Gives back what is at hand. */
void buffer_budget_done(struct buffer_budget *budget);

/* What is free in the process, about. */
size_t buffer_budget_free(const struct buffer_budget *budget);

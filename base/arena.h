/*
 * Memory that is given back all at once. For things built step by step and then kept unchanged, such as a
 * configuration. Owner: the caller. Thread: any one at a time.
 */
#pragma once

#include <stddef.h>

struct arena_block;

/* An all-zero struct is an empty arena. */
struct arena {
    struct arena_block *blocks;
};

void arena_done(struct arena *arena);

/* Zeroed memory, aligned for any type; NULL when there is none. Lives until arena_done(). */
void *arena_alloc(struct arena *arena, size_t size);

/* A terminated copy of `length` bytes; NULL without memory. */
char *arena_copy_text(struct arena *arena, const char *text, size_t length);

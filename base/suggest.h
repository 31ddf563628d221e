/* "Did you mean …?" for misspelt keys, values and options. Pure. */
#pragma once

#include <stddef.h>

/*
 * Picks the one of `count` words nearest to `text` when it is near enough to be a slip (at most two edits, fewer for
 * short words; a swap of neighbours is one edit).
 * Returns its index, or -1.
 */
int suggest_nearest(const char *text, const char *const *words, size_t count);

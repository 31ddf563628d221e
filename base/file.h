/* Whole files of bounded size. */
#pragma once

#include <stddef.h>

/*
 * Reads `path` into memory with a terminator behind the last byte.
 *
 * ret_text     set on success only; release with free()
 * Returns 0, -EFBIG when the file has more than `limit` bytes, or the negative errno of open() or read().
 */
int file_read(const char *path, size_t limit, char **ret_text, size_t *ret_length);

/* Whole files of bounded size, and whether a file is still the same. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>
#include <time.h>

/*
 * Reads `path` into memory with a terminator behind the last byte.
 *
 * ret_text     set on success only; release with free()
 * Returns 0, -EFBIG when the file has more than `limit` bytes, or the negative errno of open() or read().
 */
int file_read(const char *path, size_t limit, char **ret_text, size_t *ret_length);

/* What changes when a file is written or replaced. All zero: there is none. */
struct file_identity {
    dev_t device;
    ino_t inode;
    off_t size;
    struct timespec modified;
};

/* Symbolic links are followed. */
void file_identify(const char *path, struct file_identity *ret_identity);
bool file_identity_equals(const struct file_identity *one, const struct file_identity *other);
bool file_exists(const struct file_identity *identity);

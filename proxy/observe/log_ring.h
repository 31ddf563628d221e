/*
 * Lines on their way from one worker to the thread that writes them: a ring of bytes without locks. When it is full the
 * newest line is dropped, and counted.
 *
 * Thread: one puts, one takes; counts are read by any.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LOG_RING_SIZE (1024 * 1024)

struct log_ring {
    char *bytes;                    /* untouched, it costs nothing */
    _Alignas(64) atomic_size_t put; /* bytes so far */
    uint64_t lines, dropped;
    bool was_half_full; /* whoever puts has said so */
    _Alignas(64) atomic_size_t taken;
};

/* Returns 0 or -ENOMEM. An all-zero ring is done. */
int log_ring_init(struct log_ring *ring);
void log_ring_done(struct log_ring *ring);

/* At most ACCESS_LINE_SIZE bytes. `is_abnormal` comes out with it. Returns false when it was dropped. */
bool log_ring_put(struct log_ring *ring, const char *line, size_t length, bool is_abnormal);

/* For whoever puts: whether it has become over half full, once each time. */
bool log_ring_is_filling(struct log_ring *ring);

/* The oldest line; returns its length, 0 when there is none. `line` has room for ACCESS_LINE_SIZE bytes. */
size_t log_ring_take(struct log_ring *ring, char *line, bool *ret_is_abnormal);

bool log_ring_is_empty(const struct log_ring *ring);

#include "proxy/observe/log_ring.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/macros.h"
#include "proxy/observe/counters.h"

/* In front of each line: twice its length, and one more when it is abnormal. */
typedef uint32_t line_header;

int log_ring_init(struct log_ring *ring)
{
    ring->bytes = malloc(LOG_RING_SIZE);
    return ring->bytes ? 0 : -ENOMEM;
}

void log_ring_done(struct log_ring *ring)
{
    free(ring->bytes);
    ring->bytes = NULL;
}

static void copy_in(struct log_ring *ring, size_t place, const void *bytes, size_t length)
{
    size_t at = place % LOG_RING_SIZE, first = MIN(length, LOG_RING_SIZE - at);

    memcpy(ring->bytes + at, bytes, first);
    memcpy(ring->bytes, (const char *)bytes + first, length - first);
}

static void copy_out(const struct log_ring *ring, size_t place, void *bytes, size_t length)
{
    size_t at = place % LOG_RING_SIZE, first = MIN(length, LOG_RING_SIZE - at);

    memcpy(bytes, ring->bytes + at, first);
    memcpy((char *)bytes + first, ring->bytes, length - first);
}

bool log_ring_put(struct log_ring *ring, const char *line, size_t length, bool is_abnormal)
{
    line_header header = (line_header)(length * 2 + is_abnormal);
    size_t put = atomic_load_explicit(&ring->put, memory_order_relaxed);
    size_t used = put - atomic_load_explicit(&ring->taken, memory_order_acquire);

    if (used + sizeof header + length > LOG_RING_SIZE) {
        counter_add(&ring->dropped, 1);
        return false;
    }
    copy_in(ring, put, &header, sizeof header);
    copy_in(ring, put + sizeof header, line, length);
    atomic_store(&ring->put, put + sizeof header + length); /* sequentially consistent: see fell_asleep() */
    counter_add(&ring->lines, 1);
    return true;
}

bool log_ring_is_filling(struct log_ring *ring)
{
    bool was = ring->was_half_full;

    ring->was_half_full = atomic_load_explicit(&ring->put, memory_order_relaxed) -
                              atomic_load_explicit(&ring->taken, memory_order_relaxed) >
                          LOG_RING_SIZE / 2;
    return ring->was_half_full && !was;
}

size_t log_ring_take(struct log_ring *ring, char *line, bool *ret_is_abnormal)
{
    size_t taken = atomic_load_explicit(&ring->taken, memory_order_relaxed);
    line_header header;

    if (atomic_load_explicit(&ring->put, memory_order_acquire) == taken)
        return 0;
    copy_out(ring, taken, &header, sizeof header);
    copy_out(ring, taken + sizeof header, line, header / 2);
    *ret_is_abnormal = header % 2;
    atomic_store_explicit(&ring->taken, taken + sizeof header + header / 2, memory_order_release);
    return header / 2;
}

bool log_ring_is_empty(const struct log_ring *ring)
{
    return atomic_load(&ring->put) == atomic_load_explicit(&ring->taken, memory_order_relaxed);
}

#include "proxy/conn/pump.h"

#include <assert.h>
#include <errno.h>

#include "base/macros.h"
#include "proxy/conn/replay.h"

#define MOST_VECTORS 16

/*
 * One direction may hold at most this part of what is left free, so that slow connections leave room for quick ones
 * (dynamic thresholds: Choudhury and Hahne 1998).
 */
#define SHARE_OF_FREE 8

/* Memory that the direction holds: its queue, and what TLS has made of bytes that the kernel would not take yet. */
static size_t held(const struct pump *pump, const struct transport *sink)
{
    return pump->queue.capacity + sink->owed_bytes;
}

/*
 * Gives back what the direction has from the budget beyond what it holds now. `reserved` was taken besides. TLS adds a
 * few bytes to what was reserved: those are not charged.
 */
static void settle(struct pump *pump, const struct transport *sink, struct pump_means *means, size_t reserved)
{
    size_t had = pump->charged + reserved, holds = held(pump, sink);

    pump->charged = MIN(holds > BUFFER_QUANTUM ? holds - BUFFER_QUANTUM : 0, had);
    buffer_budget_give(&means->budget, had - pump->charged);
}

static size_t round_up(size_t bytes)
{
    return (bytes + CHUNK_STEP - 1) / CHUNK_STEP * CHUNK_STEP;
}

/* How many bytes to read at most, with memory for all of them reserved; *ret_reserved is what it took. */
static size_t reserve(const struct pump *pump, const struct transport *sink, struct pump_means *means,
                      size_t *ret_reserved)
{
    size_t room = chunk_queue_room(&pump->queue), capacity = held(pump, sink);
    size_t quantum = capacity < BUFFER_QUANTUM ? BUFFER_QUANTUM - capacity : 0;
    size_t most = MIN(means->most_queued, BUFFER_QUANTUM + buffer_budget_free(&means->budget) / SHARE_OF_FREE);
    size_t wanted, granted;

    *ret_reserved = 0;
    if (capacity >= most)
        return room;
    wanted = MIN(capacity > most / 2 ? (size_t)BUFFER_QUANTUM : most - capacity, (size_t)PUMP_SCRATCH_SIZE);
    if (wanted <= quantum)
        return room + wanted;
    granted = buffer_budget_take(&means->budget, round_up(wanted - quantum));
    buffer_budget_give(&means->budget, granted % CHUNK_STEP); /* memory is charged in whole steps */
    *ret_reserved = granted - granted % CHUNK_STEP;
    return MIN(room + quantum + *ret_reserved, (size_t)PUMP_SCRATCH_SIZE);
}

/* Writes at once when nothing waits before it, and keeps the rest. */
static enum pump_result pass_on(struct pump *pump, struct transport *sink, const char *bytes, size_t length, bool more,
                                int *ret_error)
{
    enum pump_result result = PUMP_WAITS;
    size_t taken = 0;

    if (chunk_queue_is_empty(&pump->queue) && transport_is_open(sink)) {
        ssize_t n = sink->ops->write(sink, bytes, length, more);

        if (n >= 0)
            taken = (size_t)n;
        else if (n != -EAGAIN && n != -EINTR) {
            *ret_error = (int)n;
            result = PUMP_SINK_CUT;
        }
    }
    if (taken < length && chunk_queue_append(&pump->queue, bytes + taken, length - taken) < 0)
        return PUMP_NO_MEMORY;
    return result;
}

/* What a read that gave no bytes means. */
static enum pump_result read_nothing(ssize_t n, int *ret_error)
{
    if (n == 0)
        return PUMP_SOURCE_END;
    if (n == -EAGAIN || n == -EINTR)
        return PUMP_WAITS;
    *ret_error = (int)n;
    return PUMP_SOURCE_CUT;
}

enum pump_result pump_fill(struct pump *pump, struct transport *source, struct transport *sink, size_t most,
                           bool end_follows, struct pump_means *means, int *ret_error)
{
    enum pump_result result = PUMP_WAITS;
    bool more = false, corked = false;
    size_t turn = 0;
    ssize_t n;

    if (most == 0)
        return result;
    do {
        size_t reserved, size = reserve(pump, sink, means, &reserved);

        if (size == 0) {
            buffer_budget_give(&means->budget, reserved);
            assert(held(pump, sink) > 0); /* else nothing would ever empty it */
            pump->full = true;
            break;
        }
        size = MIN(size, most - turn);
        n = source->ops->read(source, means->scratch, size);
        if (n > 0) {
            pump->bytes += (size_t)n;
            turn += (size_t)n;
            if (pump->replay)
                replay_keep(pump->replay, means->scratch, (size_t)n, &means->budget);
            /* A short read: nothing is left but the end, if that is there already; else the next event tells. */
            more = (size_t)n == size || end_follows || source->has_more;
            corked = end_follows && (size_t)n < size;
            result = pass_on(pump, sink, means->scratch, (size_t)n, corked, ret_error);
        } else {
            more = false;
            result = read_nothing(n, ret_error);
        }
        settle(pump, sink, means, reserved);
    } while (result == PUMP_WAITS && more && turn < MIN(most, (size_t)PUMP_TURN_BYTES));
    if (corked && result != PUMP_SOURCE_END && transport_is_open(sink))
        sink->ops->push(sink);
    return result;
}

enum pump_result pump_flush(struct pump *pump, struct transport *sink, struct pump_means *means, int *ret_error)
{
    if (sink->owed_bytes > 0) {
        int r = sink->ops->flush(sink);

        if (r < 0 && r != -EAGAIN) {
            *ret_error = r;
            return PUMP_SINK_CUT;
        }
    }
    while (!chunk_queue_is_empty(&pump->queue)) {
        struct iovec vectors[MOST_VECTORS];
        int count = chunk_queue_peek(&pump->queue, vectors, MOST_VECTORS);
        size_t offered = 0;
        ssize_t n;

        for (int i = 0; i < count; i++)
            offered += vectors[i].iov_len;
        n = sink->ops->write_vector(sink, vectors, count);
        if (n == -EAGAIN || n == -EINTR)
            break;
        if (n < 0) {
            *ret_error = (int)n;
            return PUMP_SINK_CUT;
        }
        chunk_queue_consume(&pump->queue, (size_t)n);
        if ((size_t)n < offered)
            break;
    }
    settle(pump, sink, means, 0);
    if (pump->full && held(pump, sink) <= means->most_queued / 2)
        pump->full = false;
    return PUMP_WAITS;
}

int pump_restore(struct pump *pump, struct pump_means *means)
{
    pump_discard(pump, means);
    if (replay_restore(pump->replay, &pump->queue, &means->budget) < 0)
        return -ENOMEM;
    pump->charged = pump->queue.capacity > BUFFER_QUANTUM ? pump->queue.capacity - BUFFER_QUANTUM : 0;
    return 0;
}

void pump_discard(struct pump *pump, struct pump_means *means)
{
    buffer_budget_give(&means->budget, pump->charged);
    pump->charged = 0;
    chunk_queue_done(&pump->queue);
}

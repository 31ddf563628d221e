/* What is kept for a retry is exact, within its limit, and paid for. */
#include "tests/unit/unit.h"

#include <string.h>

#include "proxy/conn/replay.h"

static void test_replay_restore_gives_back_every_byte(void **state)
{
    struct buffer_memory memory;
    struct buffer_budget budget = { &memory, 0 };
    struct replay *replay = replay_new(100000);
    struct chunk_queue queue = { 0 };
    struct iovec vectors[8];
    char bytes[30000], out[90000];
    size_t length = 0;
    int count;

    (void)state;
    buffer_memory_init(&memory, 1024 * 1024);
    for (int i = 0; i < 3; i++) {
        memset(bytes, 'a' + i, sizeof bytes);
        replay_keep(replay, bytes, sizeof bytes, &budget);
    }
    assert_int_equal(replay_restore(replay, &queue, &budget), 0);
    count = chunk_queue_peek(&queue, vectors, 8);
    for (int i = 0; i < count; i++) {
        memcpy(out + length, vectors[i].iov_base, vectors[i].iov_len);
        length += vectors[i].iov_len;
    }
    assert_int_equal(length, 90000);
    for (size_t i = 0; i < length; i++)
        assert_int_equal(out[i], 'a' + (int)(i / sizeof bytes));
    assert_int_equal(memory.free_bytes + budget.at_hand_bytes + queue.capacity - BUFFER_QUANTUM + replay->kept.capacity,
                     memory.total_bytes);
    replay_free(replay, &budget);
    buffer_budget_give(&budget, queue.capacity - BUFFER_QUANTUM);
    chunk_queue_done(&queue);
    assert_int_equal(memory.free_bytes + budget.at_hand_bytes, memory.total_bytes);
}

static void test_replay_keep_beyond_its_limit_gives_up(void **state)
{
    struct buffer_memory memory;
    struct buffer_budget budget = { &memory, 0 };
    struct replay *replay = replay_new(10);

    (void)state;
    buffer_memory_init(&memory, 1024 * 1024);
    replay_keep(replay, "1234567890", 10, &budget);
    assert_false(replay->given_up);
    replay_keep(replay, "1", 1, &budget);
    assert_true(replay->given_up);
    replay_keep(replay, "1", 1, &budget);
    assert_int_equal(replay->kept.capacity, 0);
    replay_free(replay, &budget);
    assert_int_equal(memory.free_bytes + budget.at_hand_bytes, memory.total_bytes);
}

static void test_replay_keep_without_memory_gives_up(void **state)
{
    struct buffer_memory memory;
    struct buffer_budget budget = { &memory, 0 };
    struct replay *replay = replay_new(100000);

    (void)state;
    buffer_memory_init(&memory, 100);
    replay_keep(replay, "1234567890", 10, &budget);
    assert_true(replay->given_up);
    replay_free(replay, &budget);
    assert_int_equal(memory.free_bytes + budget.at_hand_bytes, 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_replay_restore_gives_back_every_byte),
        cmocka_unit_test(test_replay_keep_beyond_its_limit_gives_up),
        cmocka_unit_test(test_replay_keep_without_memory_gives_up),
    };

    return RUN_TESTS(tests);
}

/* Bytes come out of a chunk queue as they went in, and its capacity is what it holds. */
#include "tests/unit/unit.h"

#include <stdlib.h>
#include <string.h>

#include "base/chunk_queue.h"
#include "base/random.h"

static void test_chunk_queue_random_appends_and_consumes_keep_order(void **state)
{
    struct chunk_queue queue = { 0 };
    struct random random;
    static char bytes[200000];
    unsigned char in = 0, out = 0;
    size_t length = 0;

    (void)state;
    random_init(&random, 7);
    for (int step = 0; step < 5000; step++) {
        size_t size = random_below(&random, step % 100 == 0 ? sizeof bytes : 3000);

        if (random_below(&random, 2) == 0 && length < 1000000) {
            for (size_t i = 0; i < size; i++)
                bytes[i] = (char)in++;
            assert_int_equal(chunk_queue_append(&queue, bytes, size), 0);
            length += size;
        } else {
            struct iovec vectors[4];
            int count = chunk_queue_peek(&queue, vectors, 4);
            size_t taken = 0;

            size = MIN(size, length);
            for (int i = 0; i < count && taken < size; i++) {
                for (size_t j = 0; j < vectors[i].iov_len && taken < size; j++, taken++)
                    assert_int_equal(((unsigned char *)vectors[i].iov_base)[j], out++);
            }
            chunk_queue_consume(&queue, taken);
            length -= taken;
        }
        assert_int_equal(queue.length, length);
        assert_int_equal(queue.capacity % CHUNK_STEP, 0);
        assert_true(queue.capacity >= length);
        assert_true(length > 0 || queue.capacity == 0);
    }
    chunk_queue_done(&queue);
    assert_int_equal(queue.capacity, 0);
}

static void test_chunk_queue_room_is_used_before_more_memory_is_taken(void **state)
{
    struct chunk_queue queue = { 0 };

    (void)state;
    assert_int_equal(chunk_queue_append(&queue, "abc", 3), 0);
    assert_int_equal(queue.capacity, CHUNK_STEP);
    assert_int_equal(chunk_queue_room(&queue), CHUNK_STEP - 3);
    for (int i = 0; i < CHUNK_STEP - 3; i++)
        assert_int_equal(chunk_queue_append(&queue, "x", 1), 0);
    assert_int_equal(queue.capacity, CHUNK_STEP);
    assert_int_equal(chunk_queue_append(&queue, "y", 1), 0);
    assert_int_equal(queue.capacity, 2 * CHUNK_STEP);
    chunk_queue_done(&queue);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_chunk_queue_random_appends_and_consumes_keep_order),
        cmocka_unit_test(test_chunk_queue_room_is_used_before_more_memory_is_taken),
    };

    return RUN_TESTS(tests);
}

/* The budget never gives more than there is, loses nothing, and keeps little at hand. */
#include "tests/unit/unit.h"

#include "base/random.h"
#include "proxy/conn/buffer_memory.h"

#define TOTAL ((size_t)2 * 1024 * 1024)

static void test_buffer_budget_never_gives_more_than_there_is(void **state)
{
    struct buffer_memory memory;
    struct buffer_budget budgets[3] = { { &memory, 0 }, { &memory, 0 }, { &memory, 0 } };
    size_t held[3] = { 0 };
    struct random random;

    (void)state;
    buffer_memory_init(&memory, TOTAL);
    random_init(&random, 1);
    for (int step = 0; step < 20000; step++) {
        unsigned who = (unsigned)random_below(&random, 3);
        size_t size = random_below(&random, 300000);

        if (random_below(&random, 2) == 0) {
            size_t taken = buffer_budget_take(&budgets[who], size);

            assert_true(taken <= size);
            held[who] += taken;
        } else {
            size = MIN(size, held[who]);
            buffer_budget_give(&budgets[who], size);
            held[who] -= size;
        }
        assert_int_equal(held[0] + held[1] + held[2] + budgets[0].at_hand_bytes + budgets[1].at_hand_bytes +
                             budgets[2].at_hand_bytes + memory.free_bytes,
                         TOTAL);
    }
    for (int i = 0; i < 3; i++) {
        buffer_budget_give(&budgets[i], held[i]);
        assert_true(budgets[i].at_hand_bytes <= 512 * 1024);
        buffer_budget_done(&budgets[i]);
    }
    assert_int_equal(memory.free_bytes, TOTAL);
}

static void test_buffer_budget_take_gets_the_last_byte(void **state)
{
    struct buffer_memory memory;
    struct buffer_budget budget = { &memory, 0 };

    (void)state;
    buffer_memory_init(&memory, TOTAL);
    assert_int_equal(buffer_budget_take(&budget, TOTAL - 1), TOTAL - 1);
    assert_int_equal(buffer_budget_take(&budget, 100), 1);
    assert_int_equal(buffer_budget_take(&budget, 100), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_buffer_budget_never_gives_more_than_there_is),
        cmocka_unit_test(test_buffer_budget_take_gets_the_last_byte),
    };

    return RUN_TESTS(tests);
}

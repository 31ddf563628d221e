/* Growing strings keep their limit; suggestions find slips and nothing else; arenas give aligned, zeroed memory. */
#include "tests/unit/unit.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/strbuf.h"
#include "base/suggest.h"

static void test_strbuf_append_past_the_limit_fails_once_and_for_all(void **state)
{
    struct strbuf text;

    (void)state;
    strbuf_init(&text, 8);
    strbuf_append(&text, "12345");
    strbuf_printf(&text, "%d", 678);
    assert_false(strbuf_failed(&text));
    assert_string_equal(text.text, "12345678");
    strbuf_append(&text, "9");
    assert_true(strbuf_failed(&text));
    strbuf_append(&text, "");
    assert_null(strbuf_take(&text));
    strbuf_done(&text);
}

static void test_strbuf_take_of_an_empty_buffer_is_an_empty_text(void **state)
{
    struct strbuf text;
    char *taken;

    (void)state;
    strbuf_init(&text, 8);
    taken = strbuf_take(&text);
    assert_string_equal(taken, "");
    free(taken);
}

static void test_suggest_nearest_finds_slips_only(void **state)
{
    static const char *const words[] = { "connect", "idle", "half_close", "keepalive" };

    (void)state;
    assert_int_equal(suggest_nearest("conect", words, 4), 0);
    assert_int_equal(suggest_nearest("connetc", words, 4), 0);
    assert_int_equal(suggest_nearest("idel", words, 4), 1);
    assert_int_equal(suggest_nearest("halfclose", words, 4), 2);
    assert_int_equal(suggest_nearest("retry", words, 4), -1);
    assert_int_equal(suggest_nearest("", words, 4), -1);
    assert_int_equal(suggest_nearest("an-unreasonably-long-word-that-is-longer-than-all-of-them", words, 4), -1);
}

static void test_arena_alloc_is_aligned_and_zeroed(void **state)
{
    struct arena arena = { 0 };

    (void)state;
    for (size_t size = 1; size < 20000; size = size * 3 + 1) {
        unsigned char *memory = arena_alloc(&arena, size);

        assert_non_null(memory);
        assert_int_equal((uintptr_t)memory % _Alignof(max_align_t), 0);
        for (size_t i = 0; i < size; i++)
            assert_int_equal(memory[i], 0);
        memset(memory, 0xff, size);
    }
    assert_null(arena_alloc(&arena, SIZE_MAX));
    arena_done(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_strbuf_append_past_the_limit_fails_once_and_for_all),
        cmocka_unit_test(test_strbuf_take_of_an_empty_buffer_is_an_empty_text),
        cmocka_unit_test(test_suggest_nearest_finds_slips_only),
        cmocka_unit_test(test_arena_alloc_is_aligned_and_zeroed),
    };

    return RUN_TESTS(tests);
}

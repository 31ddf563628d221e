/*
 * A pump's bytes come out as they went in, whatever sizes source and sink like; it never reads what it cannot keep; and
 * what it holds is what the budget was charged for.
 */
#include "tests/unit/unit.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "proxy/conn/pump.h"

#define TOTAL_BYTES (4 * 1024 * 1024)

/* A transport without a socket: the source makes bytes, the sink checks them. */
struct fake {
    struct transport transport;
    struct random random;
    uint64_t passed, most; /* bytes so far; when they end */
    size_t largest;        /* of one call; 0: a sink that takes nothing */
    int error;             /* what every call answers; 0: none */
    int end;               /* what the source answers at its end */
    bool held;             /* the sink's last bytes wait for more */
};

static unsigned char byte_at(uint64_t place)
{
    return (unsigned char)(place * 31 + (place >> 8));
}

static struct fake *fake_of(struct transport *transport)
{
    return CONTAINER_OF(transport, struct fake, transport);
}

/* A random length from 1 to the largest of one call. */
static size_t at_most(struct fake *fake, size_t length)
{
    size_t most = random_below(&fake->random, fake->largest) + 1;

    return MIN(length, most);
}

static ssize_t fake_read(struct transport *transport, void *bytes, size_t size)
{
    struct fake *fake = fake_of(transport);
    size_t length = MIN(size, (size_t)(fake->most - fake->passed));

    if (fake->error)
        return fake->error;
    if (length == 0)
        return fake->end;
    if (random_below(&fake->random, 4) == 0)
        return -EAGAIN;
    length = at_most(fake, length);
    for (size_t i = 0; i < length; i++)
        ((unsigned char *)bytes)[i] = byte_at(fake->passed++);
    return (ssize_t)length;
}

static ssize_t fake_write(struct transport *transport, const void *bytes, size_t length, bool more)
{
    struct fake *fake = fake_of(transport);

    if (fake->error)
        return fake->error;
    if (fake->largest == 0 || random_below(&fake->random, 3) == 0)
        return -EAGAIN;
    fake->held = more;
    length = at_most(fake, length);
    for (size_t i = 0; i < length; i++)
        assert_int_equal(((const unsigned char *)bytes)[i], byte_at(fake->passed++));
    return (ssize_t)length;
}

static ssize_t fake_write_vector(struct transport *transport, const struct iovec *vectors, int count)
{
    ssize_t total = 0;

    for (int i = 0; i < count; i++) {
        ssize_t n = fake_write(transport, vectors[i].iov_base, vectors[i].iov_len, false);

        if (n < 0)
            return total > 0 ? total : n;
        total += n;
        if ((size_t)n < vectors[i].iov_len)
            break;
    }
    return total;
}

static void fake_push(struct transport *transport)
{
    fake_of(transport)->held = false;
}

static const struct transport_ops fake_ops = {
    .read = fake_read, .write = fake_write, .push = fake_push, .write_vector = fake_write_vector
};

struct fixture {
    struct buffer_memory memory;
    struct pump_means means;
    struct pump pump;
    struct fake source, sink;
};

static void set_up(struct fixture *fixture, uint64_t seed, size_t memory, size_t most_queued)
{
    *fixture = (struct fixture){ 0 };
    buffer_memory_init(&fixture->memory, memory);
    fixture->means.budget.memory = &fixture->memory;
    fixture->means.scratch = malloc(PUMP_SCRATCH_SIZE);
    fixture->means.most_queued = most_queued;
    fixture->source = (struct fake){ .transport.ops = &fake_ops, .most = TOTAL_BYTES, .largest = 100000 };
    fixture->sink = (struct fake){ .transport.ops = &fake_ops, .largest = 50000 };
    random_init(&fixture->source.random, seed);
    random_init(&fixture->sink.random, seed + 1);
}

static size_t charged(const struct fixture *fixture)
{
    size_t capacity = fixture->pump.queue.capacity;

    return capacity > BUFFER_QUANTUM ? capacity - BUFFER_QUANTUM : 0;
}

static void check_account(const struct fixture *fixture)
{
    assert_int_equal(fixture->memory.free_bytes + fixture->means.budget.at_hand_bytes + charged(fixture),
                     fixture->memory.total_bytes);
    assert_true(fixture->pump.queue.capacity <= fixture->means.most_queued ||
                fixture->pump.queue.capacity == BUFFER_QUANTUM);
}

static void tear_down(struct fixture *fixture)
{
    pump_discard(&fixture->pump, &fixture->means);
    check_account(fixture);
    free(fixture->means.scratch);
}

static void move_everything(struct fixture *fixture)
{
    enum pump_result result = PUMP_WAITS;
    int error = 0;

    for (int turn = 0; turn < 10000000 && fixture->sink.passed < TOTAL_BYTES; turn++) {
        if (result == PUMP_WAITS && !fixture->pump.full)
            result = pump_fill(&fixture->pump, &fixture->source.transport, &fixture->sink.transport, SIZE_MAX, false,
                               &fixture->means, &error);
        assert_true(result == PUMP_WAITS || result == PUMP_SOURCE_END);
        check_account(fixture);
        assert_int_equal(pump_flush(&fixture->pump, &fixture->sink.transport, &fixture->means, &error), PUMP_WAITS);
        check_account(fixture);
    }
    assert_int_equal(fixture->sink.passed, TOTAL_BYTES);
    assert_int_equal(fixture->pump.bytes, TOTAL_BYTES);
}

static void test_pump_random_sizes_pass_every_byte_in_order(void **state)
{
    static const size_t most_queued[] = { 4096, 16384, 262144 };

    (void)state;
    for (uint64_t seed = 0; seed < 12; seed++) {
        struct fixture fixture;

        set_up(&fixture, seed, 1024 * 1024, most_queued[seed % 3]);
        move_everything(&fixture);
        tear_down(&fixture);
    }
}

static void test_pump_without_budget_goes_on_by_its_quantum(void **state)
{
    struct fixture fixture;

    (void)state;
    set_up(&fixture, 3, 0, 262144);
    move_everything(&fixture);
    tear_down(&fixture);
}

static void test_pump_fill_stops_reading_when_the_sink_takes_nothing(void **state)
{
    struct fixture fixture;
    int error;

    (void)state;
    set_up(&fixture, 5, 64 * 1024 * 1024, 65536);
    fixture.sink.largest = 0;
    for (int turn = 0; turn < 1000 && !fixture.pump.full; turn++)
        pump_fill(&fixture.pump, &fixture.source.transport, &fixture.sink.transport, SIZE_MAX, false, &fixture.means,
                  &error);
    assert_true(fixture.pump.full);
    assert_true(fixture.pump.queue.capacity <= 65536);
    assert_true(fixture.pump.queue.length > 30000);
    check_account(&fixture);
    tear_down(&fixture);
}

static void test_pump_fill_slow_ones_leave_room_for_others(void **state)
{
    struct fixture slow;
    int error;

    (void)state;
    set_up(&slow, 5, 1024 * 1024, 1024 * 1024);
    slow.sink.largest = 0;
    for (int turn = 0; turn < 1000 && !slow.pump.full; turn++)
        pump_fill(&slow.pump, &slow.source.transport, &slow.sink.transport, SIZE_MAX, false, &slow.means, &error);
    assert_true(slow.pump.full);
    assert_true(charged(&slow) <= 1024 * 1024 / 4);
    tear_down(&slow);
}

static void test_pump_fill_cut_sink_leaves_unsent_bytes_queued(void **state)
{
    struct fixture fixture;
    enum pump_result result = PUMP_WAITS;
    int error = 0;

    (void)state;
    set_up(&fixture, 6, 1024 * 1024, 65536);
    fixture.sink.error = -ECONNRESET;
    for (int turn = 0; turn < 100 && result == PUMP_WAITS; turn++)
        result = pump_fill(&fixture.pump, &fixture.source.transport, &fixture.sink.transport, SIZE_MAX, false,
                           &fixture.means, &error);
    assert_int_equal(result, PUMP_SINK_CUT);
    assert_int_equal(error, -ECONNRESET);
    assert_int_equal(fixture.pump.bytes, fixture.pump.queue.length);
    tear_down(&fixture);
}

static void test_pump_fill_tells_an_end_from_a_cut(void **state)
{
    struct fixture fixture;
    int error = 0;

    (void)state;
    set_up(&fixture, 8, 1024 * 1024, 65536);
    fixture.source.most = 0;
    assert_int_equal(pump_fill(&fixture.pump, &fixture.source.transport, &fixture.sink.transport, SIZE_MAX, false,
                               &fixture.means, &error),
                     PUMP_SOURCE_END);
    fixture.source.error = -ETIMEDOUT;
    assert_int_equal(pump_fill(&fixture.pump, &fixture.source.transport, &fixture.sink.transport, SIZE_MAX, false,
                               &fixture.means, &error),
                     PUMP_SOURCE_CUT);
    assert_int_equal(error, -ETIMEDOUT);
    tear_down(&fixture);
}

/* Bytes may wait in the sink for the end only when the end is what comes next. */
static void test_pump_fill_holds_bytes_back_only_for_the_end(void **state)
{
    bool seen_held = false;

    (void)state;
    for (uint64_t seed = 0; seed < 200; seed++) {
        struct fixture fixture;
        enum pump_result result;
        int error = 0;

        set_up(&fixture, seed, 1024 * 1024, 256 * 1024);
        fixture.source.most = 1 + seed * 100;
        fixture.source.end = seed % 3 == 0 ? -ECONNRESET : 0;
        do {
            result = pump_fill(&fixture.pump, &fixture.source.transport, &fixture.sink.transport, SIZE_MAX, true,
                               &fixture.means, &error);
            assert_true(!fixture.sink.held || result == PUMP_SOURCE_END);
            seen_held = seen_held || fixture.sink.held;
        } while (result == PUMP_WAITS);
        tear_down(&fixture);
    }
    assert_true(seen_held);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pump_random_sizes_pass_every_byte_in_order),
        cmocka_unit_test(test_pump_without_budget_goes_on_by_its_quantum),
        cmocka_unit_test(test_pump_fill_stops_reading_when_the_sink_takes_nothing),
        cmocka_unit_test(test_pump_fill_slow_ones_leave_room_for_others),
        cmocka_unit_test(test_pump_fill_cut_sink_leaves_unsent_bytes_queued),
        cmocka_unit_test(test_pump_fill_tells_an_end_from_a_cut),
        cmocka_unit_test(test_pump_fill_holds_bytes_back_only_for_the_end),
    };

    return RUN_TESTS(tests);
}

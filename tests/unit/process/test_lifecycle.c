/* Readiness by its blockers, and draining by the clock: delay, minimum, timeout, asked twice. */
#include "tests/unit/unit.h"

#include <errno.h>

#include "proxy/process/lifecycle.h"

struct fake_process {
    unsigned connections, stops, exits;
    int resume_error;
};

static void stop_inbound(void *owner)
{
    ((struct fake_process *)owner)->stops++;
}

static int resume_inbound(void *owner)
{
    struct fake_process *fake = owner;

    if (fake->resume_error == 0)
        fake->stops = 0;
    return fake->resume_error;
}

static bool inbound_is_stopped(void *owner)
{
    return ((struct fake_process *)owner)->stops > 0;
}

static unsigned count_connections(void *owner)
{
    return ((struct fake_process *)owner)->connections;
}

static void exit_process(void *owner)
{
    ((struct fake_process *)owner)->exits++;
}

static const struct lifecycle_actions actions = { stop_inbound, resume_inbound, inbound_is_stopped, count_connections,
                                                  exit_process };
static const struct drain_config drain = { .delay_ms = 1000, .minimum_ms = 3000, .timeout_ms = 10000 };

static struct fake_process process;
static struct lifecycle lifecycle;

static int set_up(void **state)
{
    (void)state;
    process = (struct fake_process){ 0 };
    lifecycle_init(&lifecycle, &drain, &actions, &process);
    lifecycle_unblock(&lifecycle, READINESS_CONFIGURATION);
    lifecycle_unblock(&lifecycle, READINESS_LISTENERS);
    lifecycle_unblock(&lifecycle, READINESS_INTERCEPTION);
    lifecycle_unblock(&lifecycle, READINESS_CERTIFICATES);
    lifecycle_unblock(&lifecycle, READINESS_ENDPOINTS);
    return 0;
}

static void test_lifecycle_is_ready_when_no_blocker_is_left(void **state)
{
    struct strbuf names;

    (void)state;
    lifecycle_init(&lifecycle, &drain, &actions, &process);
    strbuf_init(&names, 100);
    readiness_append_blockers(&lifecycle.readiness, "\"", &names);
    assert_string_equal(names.text, "\"configuration\",\"listeners\",\"interception\",\"certificates\",\"endpoints\"");
    strbuf_done(&names);
    lifecycle_unblock(&lifecycle, READINESS_LISTENERS);
    lifecycle_unblock(&lifecycle, READINESS_CONFIGURATION);
    assert_int_equal(lifecycle.state, LIFECYCLE_STARTING);
    lifecycle_unblock(&lifecycle, READINESS_INTERCEPTION);
    lifecycle_unblock(&lifecycle, READINESS_CERTIFICATES);
    lifecycle_unblock(&lifecycle, READINESS_ENDPOINTS);
    assert_int_equal(lifecycle.state, LIFECYCLE_READY);
    assert_true(readiness_is_ready(&lifecycle.readiness));
}

static void test_lifecycle_drain_stops_inbound_after_the_delay_and_never_exits(void **state)
{
    (void)state;
    lifecycle_drain(&lifecycle, 100000);
    assert_int_equal(lifecycle.state, LIFECYCLE_DRAINING);
    assert_false(readiness_is_ready(&lifecycle.readiness));
    lifecycle_run(&lifecycle, 100999);
    assert_int_equal(process.stops, 0);
    lifecycle_run(&lifecycle, 101000);
    assert_int_equal(process.stops, 1);
    lifecycle_run(&lifecycle, 200000);
    assert_int_equal(process.stops, 1);
    assert_int_equal(process.exits, 0);
}

static void test_lifecycle_quit_without_connections_waits_for_the_minimum(void **state)
{
    (void)state;
    lifecycle_quit(&lifecycle, 0);
    for (uint64_t now_ms = 0; now_ms < 3000; now_ms += 20)
        lifecycle_run(&lifecycle, now_ms);
    assert_int_equal(process.exits, 0);
    lifecycle_run(&lifecycle, 3000);
    assert_int_equal(process.exits, 1);
    assert_int_equal(lifecycle.state, LIFECYCLE_STOPPED);
    lifecycle_run(&lifecycle, 3020);
    lifecycle_quit(&lifecycle, 3040);
    assert_int_equal(process.exits, 1);
}

static void test_lifecycle_quit_ends_with_the_last_connection_or_at_the_timeout(void **state)
{
    (void)state;
    process.connections = 1;
    lifecycle_quit(&lifecycle, 0);
    for (uint64_t now_ms = 0; now_ms < 10000; now_ms += 20)
        lifecycle_run(&lifecycle, now_ms);
    assert_int_equal(process.exits, 0);
    lifecycle_run(&lifecycle, 10000);
    assert_int_equal(process.exits, 1);

    set_up(state);
    process.connections = 1;
    lifecycle_quit(&lifecycle, 0);
    lifecycle_run(&lifecycle, 1000);
    lifecycle_run(&lifecycle, 5000);
    assert_int_equal(process.exits, 0);
    process.connections = 0;
    lifecycle_run(&lifecycle, 5020);
    assert_int_equal(process.exits, 1);
}

static void test_lifecycle_quit_twice_exits_at_once(void **state)
{
    (void)state;
    process.connections = 1;
    lifecycle_quit(&lifecycle, 0);
    lifecycle_quit(&lifecycle, 10);
    assert_int_equal(process.exits, 1);
}

static void test_lifecycle_quit_after_drain_counts_its_own_time(void **state)
{
    (void)state;
    process.connections = 1;
    lifecycle_drain(&lifecycle, 0);
    lifecycle_run(&lifecycle, 60000);
    lifecycle_quit(&lifecycle, 60000);
    lifecycle_run(&lifecycle, 60020);
    assert_int_equal(process.exits, 0);
    lifecycle_run(&lifecycle, 70000);
    assert_int_equal(process.exits, 1);
}

static void test_lifecycle_quit_within_the_delay_does_not_begin_it_again(void **state)
{
    (void)state;
    lifecycle_drain(&lifecycle, 0);
    lifecycle_quit(&lifecycle, 900);
    lifecycle_run(&lifecycle, 1000);
    assert_int_equal(process.stops, 1);
}

static void test_lifecycle_undrain_goes_back_to_ready(void **state)
{
    (void)state;
    assert_int_equal(lifecycle_undrain(&lifecycle), -EALREADY);
    lifecycle_drain(&lifecycle, 0);
    assert_int_equal(lifecycle_undrain(&lifecycle), 0); /* within the delay nothing was closed */
    assert_int_equal(lifecycle.state, LIFECYCLE_READY);
    assert_true(readiness_is_ready(&lifecycle.readiness));
    lifecycle_drain(&lifecycle, 5000);
    lifecycle_run(&lifecycle, 5999);
    assert_int_equal(process.stops, 0);
    lifecycle_run(&lifecycle, 6000);
    assert_int_equal(process.stops, 1);
    process.resume_error = -EADDRINUSE;
    assert_int_equal(lifecycle_undrain(&lifecycle), -EADDRINUSE);
    assert_int_equal(lifecycle.state, LIFECYCLE_DRAINING);
    process.resume_error = 0;
    assert_int_equal(lifecycle_undrain(&lifecycle), 0);
    assert_int_equal(process.stops, 0);
    lifecycle_quit(&lifecycle, 9000);
    assert_int_equal(lifecycle_undrain(&lifecycle), -EBUSY);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_lifecycle_is_ready_when_no_blocker_is_left, set_up),
        cmocka_unit_test_setup(test_lifecycle_drain_stops_inbound_after_the_delay_and_never_exits, set_up),
        cmocka_unit_test_setup(test_lifecycle_quit_without_connections_waits_for_the_minimum, set_up),
        cmocka_unit_test_setup(test_lifecycle_quit_ends_with_the_last_connection_or_at_the_timeout, set_up),
        cmocka_unit_test_setup(test_lifecycle_quit_twice_exits_at_once, set_up),
        cmocka_unit_test_setup(test_lifecycle_quit_after_drain_counts_its_own_time, set_up),
        cmocka_unit_test_setup(test_lifecycle_quit_within_the_delay_does_not_begin_it_again, set_up),
        cmocka_unit_test_setup(test_lifecycle_undrain_goes_back_to_ready, set_up),
    };

    return RUN_TESTS(tests);
}

/*
 * Lines come out of a worker's ring whole, in order and once; what has no room is dropped and counted. A line is JSON
 * whatever peers are called, and never longer than a pipe takes whole. A histogram counts each value in one bucket.
 */
#include "tests/unit/unit.h"

#include <jansson.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/macros.h"
#include "proxy/observe/access_line.h"
#include "proxy/observe/access_log.h"
#include "proxy/observe/histogram.h"
#include "proxy/observe/log_queue.h"
#include "proxy/observe/log_ring.h"

#define MANY 200000

static void *put_many(void *argument)
{
    struct log_ring *ring = argument;

    for (unsigned i = 0; i < MANY;) {
        char line[64];
        int length = snprintf(line, sizeof line, "line %u %.*s", i, (int)(i % 40),
                              "----------------------------------------");

        i += log_ring_put(ring, line, (size_t)length, i % 3 == 0);
    }
    return NULL;
}

static void test_log_ring_lines_come_out_in_order_beside_a_thread_that_puts(void **state)
{
    struct log_ring ring = { 0 };
    pthread_t thread;

    (void)state;
    assert_int_equal(log_ring_init(&ring), 0);
    pthread_create(&thread, NULL, put_many, &ring);
    for (unsigned i = 0; i < MANY;) {
        char line[ACCESS_LINE_SIZE + 1], expected[64];
        bool is_abnormal;
        size_t length = log_ring_take(&ring, line, &is_abnormal);

        if (length == 0)
            continue;
        line[length] = '\0';
        snprintf(expected, sizeof expected, "line %u %.*s", i, (int)(i % 40),
                 "----------------------------------------");
        assert_string_equal(line, expected);
        assert_int_equal(is_abnormal, i % 3 == 0);
        i++;
    }
    pthread_join(thread, NULL);
    assert_true(log_ring_is_empty(&ring));
    assert_int_equal(ring.lines, MANY);
    log_ring_done(&ring);
}

static void test_log_ring_that_is_full_drops_the_newest_and_counts(void **state)
{
    char line[1000] = { 'x' }, out[ACCESS_LINE_SIZE];
    struct log_ring ring = { 0 };
    unsigned put = 0, taken = 0, filling = 0;
    bool is_abnormal;

    (void)state;
    assert_int_equal(log_ring_init(&ring), 0);
    for (unsigned i = 0; i < 2000; i++) {
        put += log_ring_put(&ring, line, sizeof line, false);
        filling += log_ring_is_filling(&ring);
    }
    assert_int_equal(put, LOG_RING_SIZE / 1004);
    assert_int_equal(ring.dropped, 2000 - put);
    assert_int_equal(filling, 1);
    while (log_ring_take(&ring, out, &is_abnormal) == sizeof line)
        taken++;
    assert_int_equal(taken, put);
    assert_true(log_ring_put(&ring, line, sizeof line, false));
    log_ring_done(&ring);
}

/* What goes in comes out, in order, though it is consumed in pieces that are no messages. */
static void test_log_queue_takes_whole_messages_up_to_its_limit(void **state)
{
    struct log_queue queue;
    unsigned put = 0, taken = 0;

    (void)state;
    log_queue_init(&queue, 50000);
    while (taken < 100000) {
        uint32_t number = put;

        if (log_queue_length(&queue) < 40000) {
            assert_true(log_queue_add(&queue, (const char *)&number, 1, (const char *)&number + 1, 3));
            put++;
            continue;
        }
        for (int i = 0; i < 3777; i++) {
            memcpy(&number, log_queue_front(&queue), sizeof number);
            assert_int_equal(number, taken++);
            log_queue_consume(&queue, sizeof number);
        }
    }
    while (log_queue_add(&queue, "", 0, "0123456789", 10))
        continue;
    assert_true(log_queue_length(&queue) > 50000 - 10);
    log_queue_consume(&queue, log_queue_length(&queue));
    assert_int_equal(queue.capacity, 0);
    log_queue_done(&queue);
}

static struct access_record record_of(const struct sockaddr *endpoint)
{
    return (struct access_record){ .time_s = 1795820570.25,
                                   .id = 7,
                                   .worker = 1,
                                   .direction = DIRECTION_OUTBOUND,
                                   .cluster = "pg",
                                   .state = "established",
                                   .endpoint = endpoint,
                                   .attempts = 1,
                                   .duration_ms = 1234,
                                   .connect_ms = ACCESS_NEVER,
                                   .first_byte_ms = ACCESS_NEVER,
                                   .client_tls_ms = ACCESS_NEVER,
                                   .upstream_tls_ms = 3,
                                   .has_ended = true,
                                   .reason = END_UPSTREAM_RESET,
                                   .ended_by = END_BY_UPSTREAM };
}

static json_t *line_of(const struct access_record *record)
{
    char line[ACCESS_LINE_SIZE];
    size_t length = access_line_write(record, line);
    json_t *tree;

    assert_true(length <= ACCESS_LINE_SIZE && line[length - 1] == '\n');
    tree = json_loadb(line, length - 1, 0, NULL);
    assert_non_null(tree);
    return tree;
}

/* Regression: they went to the sinks of before the first configuration, which are none, and nobody counted them. */
static void test_access_log_lines_of_before_its_thread_runs_are_written(void **state)
{
    char path[] = "/tmp/access-log-XXXXXX", text[64] = "";
    struct access_log_sink_config sink = { .type = ACCESS_LOG_FILE, .path = path, .buffer_bytes = 65536 };
    struct access_log_config config = { .filter = ACCESS_LOG_ALL, .sinks = { .items = &sink, .count = 1 } };
    struct dns_config dns = { 0 };
    struct access_log *log;
    int fd = mkstemp(path);

    (void)state;
    assert_true(fd >= 0);
    assert_int_equal(access_log_new(1, &log), 0);
    assert_int_equal(access_log_configure(log, &config), 0);
    access_log_write(log, 0, "first\n", 6, false);
    access_log_write(log, 0, "second\n", 7, true);
    assert_int_equal(access_log_start(log, &dns), 0);
    access_log_free(log);
    assert_int_equal(read(fd, text, sizeof text - 1), 13);
    assert_string_equal(text, "first\nsecond\n");
    close(fd);
    unlink(path);
}

static void test_access_line_has_what_happened_and_nothing_that_did_not(void **state)
{
    struct access_record record = record_of(NULL);
    json_t *tree = line_of(&record);

    (void)state;
    assert_string_equal(json_string_value(json_object_get(tree, "time")), "2026-11-27T23:02:50.250Z");
    assert_string_equal(json_string_value(json_object_get(tree, "id")), "1-7");
    assert_string_equal(json_string_value(json_object_get(tree, "reason")), "upstream_reset");
    assert_string_equal(json_string_value(json_object_get(tree, "ended_by")), "upstream");
    assert_int_equal(json_integer_value(json_object_get(tree, "upstream_tls_ms")), 3);
    assert_null(json_object_get(tree, "connect_ms"));
    assert_null(json_object_get(tree, "client"));
    assert_null(json_object_get(tree, "endpoint"));
    assert_null(json_object_get(tree, "client_identity"));
    json_decref(tree);
}

static void test_access_line_is_json_whatever_a_path_and_an_identity_hold(void **state)
{
    union sockaddr_any endpoint = { .un = { .sun_family = AF_UNIX } };
    struct access_failure failures[ACCESS_MOST_FAILURES];
    struct access_record record = record_of(&endpoint.any);
    char identity[2048], cluster[64];
    union inet_address address;
    json_t *tree;

    (void)state;
    for (size_t i = 0; i < sizeof endpoint.un.sun_path - 1; i++)
        endpoint.un.sun_path[i] = "\"\\\n\x01\x7f\xff/"[i % 7];
    memset(identity, 'a', sizeof identity);
    memset(cluster, 'c', sizeof cluster);
    cluster[63] = '\0';
    assert_int_equal(sockaddr_parse_host("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", 65535, &address), 0);
    for (size_t i = 0; i < ARRAY_SIZE(failures); i++)
        failures[i] = (struct access_failure){ address, CONNECT_CAUSE_RESET_BEFORE_REPLY };
    record.cluster = cluster;
    record.client = record.original = address;
    record.failures = failures;
    record.failure_count = ARRAY_SIZE(failures);
    record.bytes_from_client = record.bytes_from_upstream = record.duration_ms = record.id = INT64_MAX;
    record.client_identity = record.endpoint_identity = (struct access_text){ identity, sizeof identity };
    tree = line_of(&record);
    assert_int_equal(json_array_size(json_object_get(tree, "failed_attempts")), ACCESS_MOST_FAILURES);
    assert_int_equal(json_string_length(json_object_get(tree, "client_identity")), 1024);
    json_decref(tree);
}

static void test_access_line_of_an_open_connection_has_no_reason(void **state)
{
    struct access_record record = record_of(NULL);
    json_t *tree;

    (void)state;
    record.has_ended = false;
    tree = line_of(&record);
    assert_null(json_object_get(tree, "reason"));
    assert_null(json_object_get(tree, "ended_by"));
    json_decref(tree);
}

static void test_histogram_counts_each_value_once_at_its_bound(void **state)
{
    struct histogram histogram = { 0 };
    uint64_t count = 0;

    (void)state;
    for (size_t i = 0; i < HISTOGRAM_BOUND_COUNT; i++) {
        histogram_add(&histogram, histogram_bounds_ms[i]);
        histogram_add(&histogram, histogram_bounds_ms[i] + 1ULL);
        assert_true(histogram.counts[i] >= 1);
    }
    assert_int_equal(histogram.counts[HISTOGRAM_BOUND_COUNT], 1);
    for (size_t i = 0; i <= HISTOGRAM_BOUND_COUNT; i++)
        count += histogram.counts[i];
    assert_int_equal(count, 2 * HISTOGRAM_BOUND_COUNT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_log_ring_lines_come_out_in_order_beside_a_thread_that_puts),
        cmocka_unit_test(test_log_ring_that_is_full_drops_the_newest_and_counts),
        cmocka_unit_test(test_log_queue_takes_whole_messages_up_to_its_limit),
        cmocka_unit_test(test_access_log_lines_of_before_its_thread_runs_are_written),
        cmocka_unit_test(test_access_line_has_what_happened_and_nothing_that_did_not),
        cmocka_unit_test(test_access_line_is_json_whatever_a_path_and_an_identity_hold),
        cmocka_unit_test(test_access_line_of_an_open_connection_has_no_reason),
        cmocka_unit_test(test_histogram_counts_each_value_once_at_its_bound),
    };

    return cmocka_run_group_tests_name(__FILE__, tests, NULL, NULL);
}

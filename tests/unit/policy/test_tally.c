/* Places are exact by scope and source, over threads, and what nobody holds takes no memory. */
#include "tests/unit/unit.h"

#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "base/macros.h"
#include "proxy/policy/tally.h"

static union inet_address address(const char *text)
{
    union inet_address address = { 0 };

    if (inet_pton(AF_INET, text, &address.in.sin_addr) == 1) {
        address.in.sin_family = AF_INET;
    } else {
        assert_int_equal(inet_pton(AF_INET6, text, &address.in6.sin6_addr), 1);
        address.in6.sin6_family = AF_INET6;
    }
    sockaddr_set_port(&address.any, 40000);
    return address;
}

static void test_tally_take_is_exact_and_a_place_that_is_given_back_is_used(void **state)
{
    union inet_address one = address("192.0.2.1"), other = address("192.0.2.2");
    struct tally *tally;
    int scope;

    (void)state;
    assert_int_equal(tally_new(&tally), 0);
    assert_int_equal(tally_take(tally, &scope, &one, 0), -EDQUOT);
    assert_int_equal(tally_take(tally, &scope, &one, 2), 0);
    assert_int_equal(tally_take(tally, &scope, &one, 2), 0);
    assert_int_equal(tally_take(tally, &scope, &one, 2), -EDQUOT);
    assert_int_equal(tally_take(tally, &scope, &other, 2), 0);
    tally_give(tally, &scope, &one);
    assert_int_equal(tally_take(tally, &scope, &one, 2), 0);
    assert_int_equal(tally_take(tally, &scope, &one, 3), 0); /* the limit was raised */
    for (int i = 0; i < 3; i++)
        tally_give(tally, &scope, &one);
    tally_give(tally, &scope, &other);
    tally_free(tally);
}

static void test_tally_scopes_are_apart_and_all_together_is_nobodys_address(void **state)
{
    union inet_address one = address("192.0.2.1"), unspecified = address("::");
    struct tally *tally;
    int first, second;

    (void)state;
    assert_int_equal(tally_new(&tally), 0);
    assert_int_equal(tally_take(tally, &first, &one, 1), 0);
    assert_int_equal(tally_take(tally, &second, &one, 1), 0);
    assert_int_equal(tally_take(tally, &first, NULL, 1), 0);
    assert_int_equal(tally_take(tally, &first, NULL, 1), -EDQUOT);
    assert_int_equal(tally_take(tally, &first, &unspecified, 1), -EDQUOT);
    tally_give(tally, &first, &one);
    assert_int_equal(tally_take(tally, &second, &one, 1), -EDQUOT);
    tally_give(tally, &second, &one);
    tally_give(tally, &first, NULL);
    tally_free(tally);
}

static void test_tally_the_port_and_the_family_of_the_socket_do_not_matter(void **state)
{
    union inet_address plain = address("192.0.2.1"), mapped = address("::ffff:192.0.2.1"),
                       near = address("2001:db8::1"), far = address("2001:db8::2");
    struct tally *tally;

    (void)state;
    assert_int_equal(tally_new(&tally), 0);
    sockaddr_set_port(&mapped.any, 50000);
    assert_int_equal(tally_take(tally, NULL, &plain, 1), 0);
    assert_int_equal(tally_take(tally, NULL, &mapped, 1), -EDQUOT);
    assert_int_equal(tally_take(tally, NULL, &near, 1), 0);
    assert_int_equal(tally_take(tally, NULL, &far, 1), 0);
    tally_give(tally, NULL, &mapped);
    tally_give(tally, NULL, &far);
    tally_give(tally, NULL, &near);
    tally_free(tally);
}

static void test_tally_many_sources_share_buckets_without_sharing_places(void **state)
{
    enum { SOURCES = 50000 };
    union inet_address source = address("2001:db8::");
    struct tally *tally;

    (void)state;
    assert_int_equal(tally_new(&tally), 0);
    for (uint32_t i = 0; i < SOURCES; i++) {
        memcpy(&source.in6.sin6_addr.s6_addr[12], &i, sizeof i);
        assert_int_equal(tally_take(tally, NULL, &source, 1), 0);
        assert_int_equal(tally_take(tally, NULL, &source, 1), -EDQUOT);
    }
    for (uint32_t i = 0; i < SOURCES; i++) {
        memcpy(&source.in6.sin6_addr.s6_addr[12], &i, sizeof i);
        tally_give(tally, NULL, &source);
        assert_int_equal(tally_take(tally, NULL, &source, 1), 0);
        tally_give(tally, NULL, &source);
    }
    tally_free(tally);
}

enum { THREADS = 4, TURNS = 20000, MOST = 3 };

struct contest {
    struct tally *tally;
    union inet_address source;
    atomic_int held;
    atomic_bool exceeded;
};

static void *contend(void *argument)
{
    struct contest *contest = argument;

    for (int i = 0; i < TURNS; i++) {
        if (tally_take(contest->tally, contest, &contest->source, MOST) < 0)
            continue;
        if (atomic_fetch_add(&contest->held, 1) >= MOST)
            atomic_store(&contest->exceeded, true);
        atomic_fetch_sub(&contest->held, 1);
        tally_give(contest->tally, contest, &contest->source);
    }
    return NULL;
}

static void test_tally_threads_never_hold_more_together(void **state)
{
    struct contest contest = { .source = address("192.0.2.1") };
    pthread_t threads[THREADS];

    (void)state;
    assert_int_equal(tally_new(&contest.tally), 0);
    for (size_t i = 0; i < ARRAY_SIZE(threads); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, contend, &contest), 0);
    for (size_t i = 0; i < ARRAY_SIZE(threads); i++)
        pthread_join(threads[i], NULL);
    assert_false(contest.exceeded);
    assert_int_equal(tally_take(contest.tally, &contest, &contest.source, 1), 0); /* nothing was left behind */
    tally_give(contest.tally, &contest, &contest.source);
    tally_free(contest.tally);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tally_take_is_exact_and_a_place_that_is_given_back_is_used),
        cmocka_unit_test(test_tally_scopes_are_apart_and_all_together_is_nobodys_address),
        cmocka_unit_test(test_tally_the_port_and_the_family_of_the_socket_do_not_matter),
        cmocka_unit_test(test_tally_many_sources_share_buckets_without_sharing_places),
        cmocka_unit_test(test_tally_threads_never_hold_more_together),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

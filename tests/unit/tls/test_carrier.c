/*
 * A carrier over a pair of sockets: what one side writes the other reads, whole and in order, whatever sizes are asked
 * for and however little the kernel takes; ends are ends and cuts are cuts; who cannot prove an identity gets nothing.
 */
#include "tests/unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/macros.h"
#include "base/random.h"
#include "proxy/config/model.h"
#include "proxy/tls/carrier_private.h"
#include "proxy/tls/credentials.h"
#include "proxy/tls/library_context.h"
#include "tests/unit/tls/certificates.h"

#define APP "spiffe://cluster.local/ns/shop/sa/app"
#define WEB "spiffe://cluster.local/ns/shop/sa/web"

static struct carrier_means means;
static struct authority *authority;

static int set_up(void **state)
{
    (void)state;
    authority = authority_new("cluster.local");
    return carrier_means_init(&means);
}

static int tear_down(void **state)
{
    (void)state;
    authority_free(authority);
    carrier_means_done(&means);
    return 0;
}

struct pair {
    int fd[2];
    struct carrier *dials, *accepts;
};

static struct credentials *credentials_of(const char *identity, EVP_PKEY *key)
{
    struct credential_parts parts = authority_issue(authority, identity, key);
    struct credentials *credentials;
    const char *problem;

    assert_int_equal(credentials_new(&parts, NULL, &credentials, &problem), 0);
    return credentials;
}

static struct pair pair_with(EVP_PKEY *key_of_web, EVP_PKEY *key_of_app)
{
    struct credentials *web = credentials_of(WEB, key_of_web), *app = credentials_of(APP, key_of_app);
    struct pair pair;

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair.fd), 0);
    pair.dials = carrier_new(&means, web, CARRIER_DIALS, 0);
    pair.accepts = carrier_new(&means, app, CARRIER_ACCEPTS, 0);
    assert_true(pair.dials && pair.accepts);
    credentials_unref(web);
    credentials_unref(app);
    return pair;
}

static struct pair pair_new(void)
{
    return pair_with(NULL, NULL);
}

static void pair_free(struct pair *pair)
{
    carrier_free(pair->dials);
    carrier_free(pair->accepts);
    close(pair->fd[0]);
    close(pair->fd[1]);
}

/* Both go on until nothing changes. */
static void shake(struct pair *pair, const struct name_list *expected, int *ret_dials, int *ret_accepts)
{
    *ret_dials = *ret_accepts = -EAGAIN;
    for (int i = 0; i < 8; i++) {
        if (*ret_dials == -EAGAIN)
            *ret_dials = carrier_handshake(pair->dials, pair->fd[0], expected);
        if (*ret_accepts == -EAGAIN)
            *ret_accepts = carrier_handshake(pair->accepts, pair->fd[1], NULL);
    }
}

static void connect_pair(struct pair *pair)
{
    static const struct name_list anybody;
    int dials, accepts;

    shake(pair, &anybody, &dials, &accepts);
    assert_int_equal(dials, 0);
    assert_int_equal(accepts, 0);
}

static struct pair connected(void)
{
    struct pair pair = pair_new();

    connect_pair(&pair);
    return pair;
}

static ssize_t put(struct carrier *carrier, int fd, const void *bytes, size_t length)
{
    struct iovec vector = { .iov_base = (void *)(uintptr_t)bytes, .iov_len = length };

    return carrier_write(carrier, fd, &vector, 1, false);
}

static void test_carrier_both_sides_know_who_the_other_is(void **state)
{
    struct pair pair = connected();

    (void)state;
    assert_string_equal(carrier_peer(pair.dials)->text, APP);
    assert_string_equal(carrier_peer(pair.accepts)->text, WEB);
    assert_true(carrier_met_mesh(pair.dials));
    assert_true(carrier_owes_status(pair.accepts));
    assert_false(carrier_owes_status(pair.accepts));
    assert_false(carrier_owes_status(pair.dials));
    pair_free(&pair);
}

static void test_carrier_somebody_else_is_refused_by_who_dials(void **state)
{
    const char *patterns[] = { "spiffe://cluster.local/ns/*/sa/db" };
    const struct name_list expected = { patterns, 1 };
    struct pair pair = pair_new();
    const char *detail;
    int dials, accepts;

    (void)state;
    shake(&pair, &expected, &dials, &accepts);
    assert_int_equal(dials, -EPROTO);
    assert_int_equal(carrier_problem(pair.dials, &detail), TLS_PROBLEM_IDENTITY);
    assert_null(carrier_peer(pair.dials));
    assert_int_equal(accepts, -EPROTO);
    assert_int_equal(carrier_problem(pair.accepts, &detail), TLS_PROBLEM_REFUSED);
    pair_free(&pair);
}

/* Sends and receives in pieces of random sizes until all has passed, and compares. */
static void pass(struct pair *pair, size_t total, size_t most_write, size_t most_read)
{
    unsigned char *sent = malloc(total), *received = malloc(total);
    size_t written = 0, read = 0;
    struct random random;
    unsigned idle = 0;

    random_init(&random, total + most_read);
    for (size_t i = 0; i < total; i++)
        sent[i] = (unsigned char)(random_next(&random) >> 24);
    while (read < total && idle < 100) {
        size_t size = 1 + random_below(&random, most_read), length = 1 + random_below(&random, most_write);
        ssize_t n = written < total ? put(pair->dials, pair->fd[0], sent + written, MIN(length, total - written))
                                    : carrier_flush(pair->dials, pair->fd[0]);

        assert_true(n >= 0 || n == -EAGAIN);
        if (n > 0)
            written += (size_t)n;
        n = carrier_read(pair->accepts, pair->fd[1], received + read, MIN(size, total - read));
        assert_true(n > 0 || n == -EAGAIN);
        assert_true(n != -EAGAIN || !carrier_has_more(pair->accepts));
        idle = n > 0 ? 0 : idle + 1;
        if (n > 0)
            read += (size_t)n;
    }
    assert_int_equal(read, total);
    assert_memory_equal(sent, received, total);
    free(sent);
    free(received);
}

static void test_carrier_bytes_pass_whole_and_in_order(void **state)
{
    static const size_t sizes[][2] = { { 1, 1 },       { 100, 7 },      { 16384, 16384 },  { 16385, 100 },
                                       { 100, 16406 }, { 70000, 4096 }, { 300000, 262144 } };
    struct pair pair = connected();

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++)
        pass(&pair, sizes[i][0] * 10 + 1000, sizes[i][0], sizes[i][1]);
    pair_free(&pair);
}

/* A15: the kernel takes and gives little. */
static void test_carrier_small_buffers_of_the_kernel_change_nothing(void **state)
{
    struct pair pair = connected();
    int size = 4608;

    (void)state;
    for (int i = 0; i < 2; i++) {
        setsockopt(pair.fd[i], SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
        setsockopt(pair.fd[i], SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
    }
    pass(&pair, 600000, 200000, 50000);
    pair_free(&pair);
}

static void test_carrier_what_the_kernel_does_not_take_is_owed_and_bounded(void **state)
{
    struct pair pair = connected();
    static unsigned char bytes[1024 * 1024];
    size_t total = 0, owed;
    ssize_t n;

    (void)state;
    while ((n = put(pair.dials, pair.fd[0], bytes, sizeof bytes)) > 0)
        total += (size_t)n;
    assert_int_equal(n, -EAGAIN);
    owed = carrier_owes(pair.dials);
    assert_true(owed > 0 && owed <= CARRIER_OUT_SIZE);
    assert_int_equal(carrier_flush(pair.dials, pair.fd[0]), -EAGAIN);
    while (total > 0) {
        n = carrier_read(pair.accepts, pair.fd[1], bytes, sizeof bytes);
        if (n == -EAGAIN)
            carrier_flush(pair.dials, pair.fd[0]);
        else
            total -= (size_t)n;
    }
    assert_int_equal(carrier_owes(pair.dials), 0);
    pair_free(&pair);
}

static void test_carrier_an_end_is_told_after_the_bytes_before_it(void **state)
{
    struct pair pair = connected();
    char bytes[64];

    (void)state;
    put(pair.dials, pair.fd[0], "question", 8);
    assert_int_equal(carrier_finish(pair.dials, pair.fd[0]), 0);
    assert_int_equal(carrier_read(pair.accepts, pair.fd[1], bytes, 3), 3);
    assert_true(carrier_has_more(pair.accepts));
    assert_int_equal(carrier_read(pair.accepts, pair.fd[1], bytes, sizeof bytes), 5);
    assert_true(carrier_has_more(pair.accepts));
    assert_int_equal(carrier_read(pair.accepts, pair.fd[1], bytes, sizeof bytes), 0);
    /* The other direction goes on. */
    assert_int_equal(put(pair.accepts, pair.fd[1], "answer", 6), 6);
    assert_int_equal(carrier_read(pair.dials, pair.fd[0], bytes, sizeof bytes), 6);
    assert_int_equal(carrier_finish(pair.accepts, pair.fd[1]), 0);
    assert_int_equal(carrier_read(pair.dials, pair.fd[0], bytes, sizeof bytes), 0);
    pair_free(&pair);
}

static void test_carrier_an_end_without_close_notify_is_a_cut(void **state)
{
    struct pair pair = connected();
    char bytes[64];

    (void)state;
    put(pair.dials, pair.fd[0], "half of", 7);
    shutdown(pair.fd[0], SHUT_WR);
    assert_int_equal(carrier_read(pair.accepts, pair.fd[1], bytes, sizeof bytes), 7);
    assert_int_equal(carrier_read(pair.accepts, pair.fd[1], bytes, sizeof bytes), -ECONNRESET);
    pair_free(&pair);
}

static void test_carrier_a_changed_byte_is_a_cut(void **state)
{
    struct pair pair = connected();
    char record[64], bytes[64];
    ssize_t n;

    (void)state;
    put(pair.dials, pair.fd[0], "a secret", 8);
    n = recv(pair.fd[1], record, sizeof record, 0);
    record[n - 1] ^= 1;
    assert_int_equal(send(pair.fd[0], record, (size_t)n, 0), n);
    assert_int_equal(carrier_read(pair.accepts, pair.fd[1], bytes, sizeof bytes), -EPROTO);
    pair_free(&pair);
}

static void test_carrier_a_record_in_pieces_is_read_when_it_is_whole(void **state)
{
    struct pair pair = connected();
    char record[20000], bytes[20000];
    ssize_t n;

    (void)state;
    memset(bytes, 'x', 10000);
    put(pair.dials, pair.fd[0], bytes, 10000);
    n = recv(pair.fd[1], record, sizeof record, 0);
    for (ssize_t at = 0; at < n - 1; at += 997) {
        send(pair.fd[0], record + at, (size_t)MIN(997, n - 1 - at), 0);
        assert_int_equal(carrier_read(pair.accepts, pair.fd[1], bytes, 5), -EAGAIN);
        assert_false(carrier_has_more(pair.accepts));
    }
    send(pair.fd[0], record + n - 1, 1, 0);
    assert_int_equal(carrier_read(pair.accepts, pair.fd[1], bytes, 5), 5);
    assert_true(carrier_has_more(pair.accepts));
    assert_int_equal(carrier_read(pair.accepts, pair.fd[1], bytes, sizeof bytes), 9995);
    assert_false(carrier_has_more(pair.accepts));
    pair_free(&pair);
}

/* As a peer that talks of TLS and of nothing else: so many new keys, whether it asks for ours or not. */
static int read_after_key_updates(int count, int type)
{
    struct pair pair = connected();
    char bytes[64];
    ssize_t n;

    for (int i = 0; i < count; i++) {
        assert_int_equal(SSL_key_update(pair.dials->ssl, type), 1);
        assert_int_equal(SSL_do_handshake(pair.dials->ssl), 1);
        if (means.out_length > 30000 || i == count - 1) {
            assert_int_equal(send(pair.fd[0], means.out, means.out_length, 0), means.out_length);
            means.out_length = 0;
        }
    }
    put(pair.dials, pair.fd[0], "x", 1);
    n = carrier_read(pair.accepts, pair.fd[1], bytes, sizeof bytes);
    if (n == -EAGAIN)
        n = carrier_read(pair.accepts, pair.fd[1], bytes, sizeof bytes);
    pair_free(&pair);
    return (int)n;
}

/* Regression: a peer's KeyUpdates held its worker for as long as it sent them. */
static void test_carrier_keys_without_end_are_a_cut(void **state)
{
    (void)state;
    assert_int_equal(read_after_key_updates(10, SSL_KEY_UPDATE_NOT_REQUESTED), 1);
    assert_int_equal(read_after_key_updates(10, SSL_KEY_UPDATE_REQUESTED), 1);
    assert_int_equal(read_after_key_updates(4000, SSL_KEY_UPDATE_NOT_REQUESTED), -EPROTO);
    assert_int_equal(read_after_key_updates(4000, SSL_KEY_UPDATE_REQUESTED), -EPROTO);
}

/* Regression: who had more inside read the socket as well, and went on for as long as the peer sent. */
static void test_carrier_what_is_inside_is_read_alone(void **state)
{
    struct pair pair = connected();
    static char bytes[16384];

    (void)state;
    put(pair.dials, pair.fd[0], bytes, 16384);
    assert_int_equal(carrier_read(pair.accepts, pair.fd[1], bytes, 100), 100);
    put(pair.dials, pair.fd[0], bytes, 16384);
    assert_true(carrier_has_more(pair.accepts));
    assert_int_equal(carrier_read(pair.accepts, pair.fd[1], bytes, 16384), 16284);
    assert_false(carrier_has_more(pair.accepts));
    assert_int_equal(carrier_read(pair.accepts, pair.fd[1], bytes, 16384), 16384);
    pair_free(&pair);
}

static void test_carrier_a_chain_that_was_verified_is_believed_once_more_and_not_longer(void **state)
{
    struct pair pair = connected();
    struct verified *verified = &means.verified;
    size_t known = 0;

    (void)state;
    for (size_t i = 0; i < VERIFIED_MOST; i++) {
        const struct verified_chain *chain = &verified->chains[i];

        if (chain->serial == 0)
            continue;
        known++;
        assert_true(verified_knows(verified, chain->digest, chain->serial, chain->valid_until_s - 1));
        assert_false(verified_knows(verified, chain->digest, chain->serial, chain->valid_until_s));
        assert_false(verified_knows(verified, chain->digest, chain->serial + 1, 0));
    }
    assert_true(known >= 2);
    pair_free(&pair);
}

/* `kind` is a curve or an algorithm. */
static EVP_PKEY *key_of(const char *kind)
{
    bool is_curve = OBJ_sn2nid(kind) != NID_undef && strncmp(kind, "secp", 4) == 0;
    EVP_PKEY_CTX *generator = is_curve ? NULL : EVP_PKEY_CTX_new_from_name(NULL, kind, NULL);
    EVP_PKEY *key = is_curve ? EVP_EC_gen(kind) : NULL;

    if (generator && EVP_PKEY_keygen_init(generator) == 1)
        EVP_PKEY_generate(generator, &key);
    EVP_PKEY_CTX_free(generator);
    assert_non_null(key);
    return key;
}

/* The library context decodes fewer forms of keys than OpenSSL's default one: none of those may be missing. */
static void test_carrier_keys_of_every_kind_are_understood(void **state)
{
    static const char *const kinds[] = { "secp384r1", "RSA", "ED25519" };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
        struct pair pair = pair_with(key_of(kinds[i]), key_of(kinds[i]));

        connect_pair(&pair);
        assert_string_equal(carrier_peer(pair.accepts)->text, WEB);
        pair_free(&pair);
    }
}

/* Whatever stands in a certificate that a peer sends: what the default context understands is understood. */
static void test_library_context_reads_the_keys_that_the_default_one_reads(void **state)
{
    static const char *const kinds[] = { "secp224r1", "secp521r1", "secp256k1", "RSA-PSS", "ED448", "X25519" };

    (void)state;
    assert_non_null(library_context());
    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
        EVP_PKEY *key = key_of(kinds[i]), *read;
        unsigned char *der = NULL;
        const unsigned char *at;
        int length = i2d_PUBKEY(key, &der);

        assert_true(length > 0);
        at = der;
        read = d2i_PUBKEY_ex(NULL, &at, length, library_context(), NULL);
        assert_non_null(read);
        assert_int_equal(EVP_PKEY_eq(read, key), 1);
        EVP_PKEY_free(read);
        EVP_PKEY_free(key);
        OPENSSL_free(der);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_carrier_both_sides_know_who_the_other_is),
        cmocka_unit_test(test_carrier_somebody_else_is_refused_by_who_dials),
        cmocka_unit_test(test_carrier_bytes_pass_whole_and_in_order),
        cmocka_unit_test(test_carrier_small_buffers_of_the_kernel_change_nothing),
        cmocka_unit_test(test_carrier_what_the_kernel_does_not_take_is_owed_and_bounded),
        cmocka_unit_test(test_carrier_an_end_is_told_after_the_bytes_before_it),
        cmocka_unit_test(test_carrier_an_end_without_close_notify_is_a_cut),
        cmocka_unit_test(test_carrier_a_changed_byte_is_a_cut),
        cmocka_unit_test(test_carrier_a_record_in_pieces_is_read_when_it_is_whole),
        cmocka_unit_test(test_carrier_keys_without_end_are_a_cut),
        cmocka_unit_test(test_carrier_what_is_inside_is_read_alone),
        cmocka_unit_test(test_carrier_a_chain_that_was_verified_is_believed_once_more_and_not_longer),
        cmocka_unit_test(test_carrier_keys_of_every_kind_are_understood),
        cmocka_unit_test(test_library_context_reads_the_keys_that_the_default_one_reads),
    };

    return cmocka_run_group_tests_name(__FILE__, tests, set_up, tear_down);
}

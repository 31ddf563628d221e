/* The server name is found in every well-formed ClientHello, however it is cut into records, and in nothing else. */
#include "tests/unit/unit.h"

#include <string.h>

#include "base/macros.h"
#include "proxy/net/client_hello.h"

/* A message that is being written; vectors are opened and closed around what is in them. */
struct draft {
    uint8_t bytes[CLIENT_HELLO_MOST_BYTES + 1024];
    size_t length;
};

static void put(struct draft *draft, const void *bytes, size_t length)
{
    memcpy(draft->bytes + draft->length, bytes, length);
    draft->length += length;
}

static void put_number(struct draft *draft, size_t value, size_t size)
{
    while (size-- > 0)
        draft->bytes[draft->length++] = (uint8_t)(value >> 8 * size);
}

static void put_vector(struct draft *draft, size_t length_size, const void *bytes, size_t length)
{
    put_number(draft, length, length_size);
    put(draft, bytes, length);
}

static void put_server_name(struct draft *extensions, const char *name)
{
    size_t length = strlen(name);

    put_number(extensions, 0, 2);
    put_number(extensions, length + 5, 2);
    put_number(extensions, length + 3, 2);
    put_number(extensions, 0, 1);
    put_vector(extensions, 2, name, length);
}

/* The handshake message with these extensions. */
static void put_message(struct draft *message, const struct draft *extensions)
{
    static const uint8_t zero[64];
    struct draft body = { .length = 0 };

    put_number(&body, 0x0303, 2);
    put(&body, zero, 32);
    put_vector(&body, 1, zero, 32);
    put_vector(&body, 2, zero, 4);
    put_vector(&body, 1, zero, 1);
    put_vector(&body, 2, extensions->bytes, extensions->length);
    put_number(message, 1, 1);
    put_vector(message, 3, body.bytes, body.length);
}

static void put_records(struct draft *stream, const struct draft *message, size_t each)
{
    for (size_t at = 0; at < message->length; at += each) {
        size_t length = MIN(each, message->length - at);

        put_number(stream, 22, 1);
        put_number(stream, 0x0301, 2);
        put_vector(stream, 2, message->bytes + at, length);
    }
}

static struct draft hello_with(const char *name, size_t padding, size_t each)
{
    struct draft extensions = { .length = 0 }, message = { .length = 0 }, stream = { .length = 0 };
    static const uint8_t zero[CLIENT_HELLO_MOST_BYTES];

    put_number(&extensions, 21, 2); /* padding */
    put_vector(&extensions, 2, zero, padding);
    if (name)
        put_server_name(&extensions, name);
    put_message(&message, &extensions);
    put_records(&stream, &message, each);
    return stream;
}

static void assert_hello(const struct draft *stream, enum client_hello_state expected, const char *expected_name)
{
    struct client_hello hello;

    assert_int_equal(client_hello_parse(stream->bytes, stream->length, &hello), expected);
    assert_string_equal(hello.name, expected_name);
    assert_false(hello.speaks_mesh);
}

static void test_client_hello_parse_finds_the_name_in_small_letters(void **state)
{
    struct draft stream = hello_with("API.Example", 10, 1 << 14);

    (void)state;
    assert_hello(&stream, CLIENT_HELLO_COMPLETE, "api.example");
    put(&stream, "what follows", 12);
    assert_hello(&stream, CLIENT_HELLO_COMPLETE, "api.example");
}

static void test_client_hello_parse_joins_records_of_any_size(void **state)
{
    (void)state;
    for (size_t each = 1; each < 400; each++) {
        struct draft stream = hello_with("api.example", 100, each);

        assert_hello(&stream, CLIENT_HELLO_COMPLETE, "api.example");
    }
}

static void test_client_hello_parse_of_every_beginning_is_incomplete(void **state)
{
    struct draft stream = hello_with("api.example", 100, 50);
    size_t whole = stream.length;

    (void)state;
    for (stream.length = 0; stream.length < whole; stream.length++)
        assert_hello(&stream, CLIENT_HELLO_INCOMPLETE, "");
}

static void test_client_hello_parse_without_a_usable_name_is_complete(void **state)
{
    static const char *const unusable[] = { "", "a..b", "10.0.0.1", "a b", "a\x01" };
    struct draft stream = hello_with(NULL, 0, 1 << 14);
    char most[300];

    (void)state;
    assert_hello(&stream, CLIENT_HELLO_COMPLETE, "");
    for (size_t i = 0; i < ARRAY_SIZE(unusable); i++) {
        stream = hello_with(unusable[i], 0, 1 << 14);
        assert_hello(&stream, CLIENT_HELLO_COMPLETE, "");
    }
    for (size_t i = 0; i < sizeof most; i++)
        most[i] = i % 50 == 49 ? '.' : 'a';
    most[253] = '\0';
    stream = hello_with(most, 0, 1 << 14);
    assert_hello(&stream, CLIENT_HELLO_COMPLETE, most);
    most[253] = 'a';
    most[254] = '\0';
    stream = hello_with(most, 0, 1 << 14);
    assert_hello(&stream, CLIENT_HELLO_COMPLETE, "");
}

static void test_client_hello_parse_refuses_what_is_not_tls(void **state)
{
    static const struct {
        const char *bytes;
        size_t length;
    } cases[] = {
        { "GET / HTTP/1.1\r\n", 16 },
        { "G", 1 },
        { "\x16\x02", 2 },
        { "\x16\x03\x01\x40\x01", 5 }, /* a record of more than 2^14 */
        { "\x16\x03\x01\x00\x00", 5 },
        { "\x16\x03\x01\x00\x04\x02", 6 }, /* a server's hello */
        { "\x17\x03\x03\x00\x10", 5 },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct draft stream = { .length = 0 };

        put(&stream, cases[i].bytes, cases[i].length);
        assert_hello(&stream, CLIENT_HELLO_NOT_TLS, "");
    }
}

static void test_client_hello_parse_gives_up_on_what_is_too_long(void **state)
{
    struct draft stream = hello_with("api.example", CLIENT_HELLO_MOST_BYTES - 300, 4000);

    (void)state;
    assert_hello(&stream, CLIENT_HELLO_COMPLETE, "api.example");
    stream = hello_with("api.example", CLIENT_HELLO_MOST_BYTES - 50, 4000);
    assert_hello(&stream, CLIENT_HELLO_NOT_TLS, "");
    stream.length = 20; /* its length tells before the rest has come */
    assert_hello(&stream, CLIENT_HELLO_NOT_TLS, "");
}

/* Every byte of a hello wrong in turn: any verdict, but no name that a host may not have (the sanitizers look on). */
/* A ClientHello that offers these protocols, a list as it is sent. */
static bool speaks_mesh(const char *protocols, size_t length)
{
    struct draft extensions = { .length = 0 }, message = { .length = 0 }, stream = { .length = 0 };
    struct client_hello hello;

    put_number(&extensions, 16, 2);
    put_number(&extensions, length + 2, 2);
    put_vector(&extensions, 2, protocols, length);
    put_server_name(&extensions, "api.example");
    put_message(&message, &extensions);
    put_records(&stream, &message, 1 << 14);
    assert_int_equal(client_hello_parse(stream.bytes, stream.length, &hello), CLIENT_HELLO_COMPLETE);
    assert_string_equal(hello.name, "api.example");
    return hello.speaks_mesh;
}

static void test_client_hello_parse_knows_the_mesh_by_its_whole_name(void **state)
{
    (void)state;
    assert_true(speaks_mesh("\x0boutrigger/1", 12));
    assert_true(speaks_mesh("\x02h2\x0boutrigger/1", 15));
    assert_false(speaks_mesh("\x0boutrigger/2", 12));
    assert_false(speaks_mesh("\x0coutrigger/1x", 13));
    assert_false(speaks_mesh("\x0aoutrigger/", 11));
    assert_false(speaks_mesh("\x20outrigger/1", 12));
    assert_false(speaks_mesh("", 0));
}

static void test_client_hello_parse_with_any_wrong_byte_stays_in_bounds(void **state)
{
    struct draft stream = hello_with("api.example", 3, 60);

    (void)state;
    for (size_t at = 0; at < stream.length; at++) {
        uint8_t right = stream.bytes[at];
        struct client_hello hello;

        for (unsigned wrong = 0; wrong < 256; wrong += 5) {
            stream.bytes[at] = (uint8_t)wrong;
            client_hello_parse(stream.bytes, stream.length, &hello);
            assert_true(strlen(hello.name) < sizeof hello.name);
        }
        stream.bytes[at] = right;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_client_hello_parse_finds_the_name_in_small_letters),
        cmocka_unit_test(test_client_hello_parse_knows_the_mesh_by_its_whole_name),
        cmocka_unit_test(test_client_hello_parse_joins_records_of_any_size),
        cmocka_unit_test(test_client_hello_parse_of_every_beginning_is_incomplete),
        cmocka_unit_test(test_client_hello_parse_without_a_usable_name_is_complete),
        cmocka_unit_test(test_client_hello_parse_refuses_what_is_not_tls),
        cmocka_unit_test(test_client_hello_parse_gives_up_on_what_is_too_long),
        cmocka_unit_test(test_client_hello_parse_with_any_wrong_byte_stays_in_bounds),
    };

    return RUN_TESTS(tests);
}

#include "proxy/net/client_hello.h"

#include <stdbool.h>
#include <string.h>

#include "base/host_name.h"
#include "base/macros.h"
#include "proxy/tls/mesh.h"

enum {
    RECORD_HANDSHAKE = 22,
    RECORD_HEAD = 5,
    RECORD_MOST = 1 << 14, /* RFC 8446, 5.1: "The length MUST NOT exceed 2^14 bytes." */
    MESSAGE_CLIENT_HELLO = 1,
    MESSAGE_HEAD = 4,
    VERSION_AND_RANDOM = 2 + 32,
    EXTENSION_SERVER_NAME = 0,
    EXTENSION_ALPN = 16,
    NAME_TYPE_HOST = 0,
};

/* What is left of a message, or of a part of it. */
struct reader {
    const uint8_t *at;
    size_t left;
    bool is_short; /* something was asked for that is not there */
};

static const uint8_t *take(struct reader *reader, size_t length)
{
    const uint8_t *bytes = reader->at;

    if (length > reader->left) {
        reader->is_short = true;
        reader->left = 0;
        return NULL;
    }
    reader->at += length;
    reader->left -= length;
    return bytes;
}

/* A number of `size` bytes; 0 where there is none. */
static size_t take_number(struct reader *reader, size_t size)
{
    const uint8_t *bytes = take(reader, size);
    size_t value = 0;

    for (size_t i = 0; bytes && i < size; i++)
        value = value << 8 | bytes[i];
    return value;
}

/* A vector with its length before it. */
static struct reader take_vector(struct reader *reader, size_t length_size)
{
    size_t length = take_number(reader, length_size);
    const uint8_t *bytes = take(reader, length);

    return (struct reader){ .at = bytes, .left = bytes ? length : 0 };
}

/* What is behind the message, as early data, is not looked at. */
static bool is_whole(const uint8_t *message, size_t length)
{
    return length >= MESSAGE_HEAD &&
           length - MESSAGE_HEAD >= ((size_t)message[1] << 16 | (size_t)message[2] << 8 | message[3]);
}

/*
 * Puts the message's bytes together: RFC 8446, 5.1 lets them "be coalesced into a single TLSPlaintext record or
 * fragmented across several records". Returns how many there are, of at most `size`.
 */
static size_t join_records(const uint8_t *bytes, size_t length, uint8_t *message, size_t size, bool *ret_is_tls)
{
    struct reader reader = { .at = bytes, .left = length };
    size_t joined = 0;

    *ret_is_tls = true;
    while (reader.left > 0 && joined < size && !is_whole(message, joined)) {
        const uint8_t *head = reader.at;
        size_t available = reader.left, part;

        /* What of the head is there must be that of a handshake record. */
        if (head[0] != RECORD_HANDSHAKE || (available > 1 && head[1] != 3)) {
            *ret_is_tls = false;
            break;
        }
        if (available < RECORD_HEAD)
            break;
        take(&reader, RECORD_HEAD);
        part = (size_t)head[3] << 8 | head[4];
        if (part == 0 || part > RECORD_MOST) {
            *ret_is_tls = false;
            break;
        }
        part = MIN(MIN(part, reader.left), size - joined);
        if (part > 0)
            memcpy(message + joined, take(&reader, part), part);
        joined += part;
    }
    return joined;
}

/* RFC 6066, 3: "The ServerNameList MUST NOT contain more than one name of the same name_type." The first counts. */
static void read_server_name(struct reader *extension, char *ret_name)
{
    struct reader list = take_vector(extension, 2);

    while (list.left > 0) {
        size_t type = take_number(&list, 1);
        struct reader name = take_vector(&list, 2);

        if (type != NAME_TYPE_HOST || name.left == 0)
            continue;
        if (name.left >= CLIENT_HELLO_NAME_SIZE || memchr(name.at, '\0', name.left) ||
            !host_name_is_valid((const char *)name.at, name.left))
            return;
        for (size_t i = 0; i < name.left; i++)
            ret_name[i] = (char)(name.at[i] >= 'A' && name.at[i] <= 'Z' ? name.at[i] - 'A' + 'a' : name.at[i]);
        ret_name[name.left] = '\0';
        return;
    }
}

static bool offers_mesh(struct reader *extension)
{
    struct reader list = take_vector(extension, 2);

    while (list.left > 0) {
        struct reader name = take_vector(&list, 1);

        if (!list.is_short && name.left == strlen(MESH_ALPN) && memcmp(name.at, MESH_ALPN, name.left) == 0)
            return true;
    }
    return false;
}

/* `hello` is the body of a whole message. Returns whether it is well formed. */
static bool read_hello(struct reader *hello, struct client_hello *ret_hello)
{
    struct reader extensions;

    take(hello, VERSION_AND_RANDOM);
    take_vector(hello, 1); /* session id */
    take_vector(hello, 2); /* cipher suites */
    take_vector(hello, 1); /* compression methods */
    if (hello->is_short)
        return false;
    if (hello->left == 0) /* before TLS 1.3 there may be no extensions */
        return true;
    extensions = take_vector(hello, 2);
    while (extensions.left > 0) {
        size_t type = take_number(&extensions, 2);
        struct reader extension = take_vector(&extensions, 2);

        if (type == EXTENSION_SERVER_NAME && !extensions.is_short)
            read_server_name(&extension, ret_hello->name);
        if (type == EXTENSION_ALPN && !extensions.is_short)
            ret_hello->speaks_mesh = offers_mesh(&extension);
    }
    return !hello->is_short && !extensions.is_short;
}

enum client_hello_state client_hello_parse(const uint8_t *bytes, size_t length, struct client_hello *ret_hello)
{
    uint8_t message[CLIENT_HELLO_MOST_BYTES];
    struct reader reader = { .at = message };
    struct reader hello;
    bool is_tls;
    size_t body;

    *ret_hello = (struct client_hello){ 0 };
    reader.left = join_records(bytes, MIN(length, (size_t)CLIENT_HELLO_MOST_BYTES), message, sizeof message, &is_tls);
    if (!is_tls || (reader.left > 0 && message[0] != MESSAGE_CLIENT_HELLO))
        return CLIENT_HELLO_NOT_TLS;
    take(&reader, 1);
    body = take_number(&reader, 3);
    if (!reader.is_short && body > CLIENT_HELLO_MOST_BYTES - RECORD_HEAD - MESSAGE_HEAD)
        return CLIENT_HELLO_NOT_TLS;
    if (reader.is_short || reader.left < body)
        return length < CLIENT_HELLO_MOST_BYTES ? CLIENT_HELLO_INCOMPLETE : CLIENT_HELLO_NOT_TLS;
    hello = (struct reader){ .at = reader.at, .left = body };
    if (!read_hello(&hello, ret_hello)) {
        *ret_hello = (struct client_hello){ 0 };
        return CLIENT_HELLO_NOT_TLS;
    }
    return CLIENT_HELLO_COMPLETE;
}

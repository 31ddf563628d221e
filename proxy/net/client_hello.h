/*
 * The first message of a TLS client, looked at without taking part (RFC 8446, sections 4.1.2 and 5.1; RFC 6066,
 * section 3). Pure.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define CLIENT_HELLO_MOST_BYTES (16 * 1024) /* with its records' heads; a longer one is not looked at */
#define CLIENT_HELLO_NAME_SIZE  254

enum client_hello {
    CLIENT_HELLO_INCOMPLETE, /* so far it may be one */
    CLIENT_HELLO_NOT_TLS,
    CLIENT_HELLO_COMPLETE,
};

/*
 * ret_name     CLIENT_HELLO_NAME_SIZE bytes; with CLIENT_HELLO_COMPLETE the server name in small letters, "" when it
 *              has none or one that no host may have
 */
enum client_hello client_hello_parse(const uint8_t *bytes, size_t length, char *ret_name);

/*
 * The first message of a TLS client, looked at without taking part (RFC 8446, sections 4.1.2 and 5.1; RFC 6066,
 * section 3). Pure.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CLIENT_HELLO_MOST_BYTES (16 * 1024) /* with its records' heads; a longer one is not looked at */
#define CLIENT_HELLO_NAME_SIZE  254

enum client_hello_state {
    CLIENT_HELLO_INCOMPLETE, /* so far it may be one */
    CLIENT_HELLO_NOT_TLS,
    CLIENT_HELLO_COMPLETE,
};

struct client_hello {
    char name[CLIENT_HELLO_NAME_SIZE]; /* the server's, in small letters; "": none, or one that no host may have */
    bool speaks_mesh;                  /* it offers the mesh's protocol (ALPN, RFC 7301) */
};

/* ret_hello  set in any case; of meaning with CLIENT_HELLO_COMPLETE */
enum client_hello_state client_hello_parse(const uint8_t *bytes, size_t length, struct client_hello *ret_hello);

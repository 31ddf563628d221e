/*
 * The header of the PROXY protocol, versions 1 and 2 (haproxy.org, "The PROXY protocol"): who a connection comes from
 * and where it was going, said before its first byte. Pure.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/sockaddr.h"

#define PROXY_HEADER_MOST_BYTES 4096 /* that is accepted, with what else version 2 may carry */
#define PROXY_HEADER_SIZE       128  /* that is written, at most */

enum proxy_header_result {
    PROXY_HEADER_INCOMPLETE, /* what is there may become one */
    PROXY_HEADER_INVALID,
    PROXY_HEADER_COMPLETE,
};

struct proxy_header {
    size_t length; /* of the header: what is behind it is the connection's own */
    /* AF_UNSPEC: it says nothing of them (LOCAL, UNKNOWN, or another family). */
    union inet_address source, destination;
};

/* ret_header  set when it is complete */
enum proxy_header_result proxy_header_parse(const uint8_t *bytes, size_t length, struct proxy_header *ret_header);

/* The identity that the client has proven, as an addition to a header of version 2 (PP2_TYPE_MIN_CUSTOM, 2.2.7). */
#define PROXY_HEADER_IDENTITY_TYPE 0xe0
#define PROXY_HEADER_IDENTITY_MOST 2048

/*
 * Appends that addition to a header of version 2 of `length` bytes, whose place has PROXY_HEADER_IDENTITY_MOST + 3
 * bytes more. Returns the length now.
 */
size_t proxy_header_add_identity(uint8_t *header, size_t length, const char *identity, size_t identity_length);

/*
 * Writes one. Addresses of two families, or none, make one that says nothing of them.
 * version  1 or 2
 * `bytes` has PROXY_HEADER_SIZE bytes. Returns how many were written.
 */
size_t proxy_header_write(unsigned version, const union inet_address *source, const union inet_address *destination,
                          uint8_t *bytes);

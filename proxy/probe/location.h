/*
 * Where a probe asks next, after a redirect: what a Location header says (RFC 9110, 10.2.2), resolved as RFC 3986, 5.2,
 * has it; what servers forget to escape is escaped. Another port of the same host is the same app.
 *
 * Thread: any.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/sockaddr.h"

#define LOCATION_MOST_PATH 2048

struct location {
    bool is_tls;
    uint16_t port;
    char host[SOCKADDR_TEXT_SIZE];     /* an address as URIs have it: IPv6 in brackets */
    char path[LOCATION_MOST_PATH + 1]; /* with its query */
};

enum location_verdict {
    LOCATION_SAME_AUTHORITY, /* only the path is another */
    LOCATION_SAME_HOST,
    LOCATION_ELSEWHERE, /* nothing has changed */
    LOCATION_BAD,       /* it is no URI, or its path is too long; nothing has changed */
};

/* Goes where `reference` leads from `location`. */
enum location_verdict location_follow(struct location *location, const char *reference);

/* What /connections answers: the connections that are open, as JSON for programs and as a table for people. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/sockaddr.h"
#include "base/strbuf.h"
#include "proxy/observe/counters.h"

#define CONNECTION_VIEW_NAME     64
#define CONNECTION_VIEW_IDENTITY 256 /* longer ones are cut off */

/* One connection at one moment. */
struct connection_view {
    enum direction direction;
    const char *state; /* static */
    char cluster[CONNECTION_VIEW_NAME];
    union inet_address client, original; /* AF_UNSPEC: not known, or none */
    union sockaddr_any endpoint;         /* AF_UNSPEC: none yet */
    char client_identity[CONNECTION_VIEW_IDENTITY], endpoint_identity[CONNECTION_VIEW_IDENTITY]; /* "": none */
    uint64_t age_ms, idle_ms;
    uint64_t bytes_to_upstream, bytes_to_client;
    unsigned attempts, worker;
};

/* `total`: how many are open; the others were left out. */
void connections_append_json(const struct connection_view *views, size_t count, size_t total, struct strbuf *text);
void connections_append_text(const struct connection_view *views, size_t count, size_t total, struct strbuf *text);

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
    uint64_t id; /* with the worker's number */
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

#define ENDINGS_MOST 32 /* of each worker, the newest */

/* One that has ended, and was not meant to. */
struct ending_view {
    struct connection_view connection; /* as it was then */
    double time_s;                     /* since the epoch */
    enum end_reason reason;
    enum end_party ended_by;
};

/* A worker's. */
struct endings {
    unsigned long count; /* so far; the last ENDINGS_MOST are here */
    struct ending_view views[ENDINGS_MOST];
};

/* The newest first. */
void endings_append_list_json(const struct ending_view *views, size_t count, struct strbuf *text);
void endings_append_list_text(const struct ending_view *views, size_t count, struct strbuf *text);

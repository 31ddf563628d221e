/* What there is to tell about the own credentials: for /status and /metrics. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proxy/observe/histogram.h"
#include "proxy/tls/tls_problem.h"

struct strbuf;

enum handshake_side {
    HANDSHAKE_ACCEPTED, /* with a client */
    HANDSHAKE_DIALLED,  /* with an endpoint */
    HANDSHAKE_SIDE_COUNT,
};

/* A worker's handshakes. Written by the worker with plain stores, read by any thread; see counters.h. */
struct handshake_counters {
    uint64_t ended[HANDSHAKE_SIDE_COUNT][TLS_PROBLEM_COUNT]; /* TLS_PROBLEM_NONE: done */
    struct histogram duration[HANDSHAKE_SIDE_COUNT];         /* of those that succeeded */
};

struct identity_status {
    bool is_configured;
    const char *spiffe_id;                             /* NULL: there are no credentials */
    int64_t valid_from_s, valid_until_s, crls_until_s; /* since the epoch; INT64_MAX: without an end */
    size_t roots, trust_domains;
    uint64_t loaded, refused;             /* how often */
    double loaded_s;                      /* the last time, since the epoch; 0: never */
    const char *problem;                  /* why the last try was refused; NULL: it was not */
    struct handshake_counters handshakes; /* over all workers */
};

const char *handshake_side_name(enum handshake_side side);

/* A JSON object, or null when there is no identity. */
void identity_append_json(const struct identity_status *status, struct strbuf *text);
void identity_append_text(const struct identity_status *status, struct strbuf *text);

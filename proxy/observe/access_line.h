/* One line of the access log: a connection, as a JSON object. Pure. The fields are in docs/access-log.md. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/sockaddr.h"
#include "proxy/observe/counters.h"
#include "proxy/observe/end_reason.h"

#define ACCESS_LINE_SIZE     4096 /* a pipe takes as much whole: PIPE_BUF (pipe(7)) */
#define ACCESS_MOST_FAILURES 8    /* attempts that are told of one by one */
#define ACCESS_NEVER         UINT32_MAX

/* An attempt that failed. */
struct access_failure {
    union inet_address endpoint; /* AF_UNSPEC: not an inet address */
    enum connect_cause cause;
};

/* A text with its length; NULL: none. */
struct access_text {
    const char *text;
    size_t length;
};

struct access_record {
    double time_s; /* since the epoch */
    uint64_t id;
    unsigned worker;
    enum direction direction;
    const char *cluster, *state;
    union inet_address client, original; /* AF_UNSPEC: not known, or none */
    const struct sockaddr *endpoint;     /* NULL: none */
    unsigned attempts;                   /* that were begun */
    const struct access_failure *failures;
    size_t failure_count;
    uint64_t bytes_from_client, bytes_from_upstream;
    uint64_t duration_ms;
    uint32_t connect_ms, first_byte_ms, client_tls_ms, upstream_tls_ms; /* ACCESS_NEVER: it did not come to that */
    struct access_text client_identity, endpoint_identity;
    bool has_ended; /* else it is open still, and the next two do not count */
    enum end_reason reason;
    enum end_party ended_by;
};

/* Writes the line with its newline, not terminated; returns its length. Identities are cut off where there is no room.
 */
size_t access_line_write(const struct access_record *record, char line[ACCESS_LINE_SIZE]);

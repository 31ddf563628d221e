/*
 * What there is to tell of a connection: what took how long, which attempts failed, who ended it. For the access log,
 * for /connections and for /endings.
 *
 * Owner: the connection. Thread: its worker's.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/list.h"
#include "proxy/observe/access_line.h"
#include "proxy/observe/connections.h"

struct attempt_target;
struct conn;
struct worker;

struct account_failures {
    size_t count;
    struct access_failure items[ACCESS_MOST_FAILURES];
};

struct account {
    uint64_t id;                                                        /* the worker's first is 1 */
    uint32_t connect_ms, first_byte_ms, client_tls_ms, upstream_tls_ms; /* ACCESS_NEVER: not yet */
    enum end_party first_end;                                           /* END_BY_EITHER: neither side has finished */
    bool has_dialled;
    struct account_failures *failures; /* NULL: none */
};

/* A new connection of the worker's. */
void account_begin(struct conn *conn);

/* An attempt failed. Beyond ACCESS_MOST_FAILURES, or without memory, they are only counted. */
void account_failure(struct conn *conn, const struct attempt_target *target, enum connect_cause cause);

/* It ends now, with everything that it has still there: counts it; a line, where the configuration asks for one. */
void account_end(struct conn *conn, enum end_reason reason, uint64_t now_ms);

/* How it is now. */
void account_describe(const struct conn *conn, uint64_t now_ms, struct connection_view *ret_view);

/* Lines for connections that are open for long: begins, or follows a configuration that has changed. */
void account_watch(struct worker *worker);

/* What `top` shows: the proxy as /metrics has it at one moment. Bounded: what is beyond is left out, and counted. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "control/ctl/ctl.h"

#define TOP_MOST_ROWS      200
#define TOP_MOST_ENDPOINTS 256
#define TOP_MOST_REASONS   200
#define TOP_NAME_SIZE      80
#define TOP_ADDRESS_SIZE   128

enum top_column {
    TOP_ACTIVE,
    TOP_OPENED,
    TOP_ENDED,
    TOP_FROM_CLIENT,
    TOP_FROM_UPSTREAM,
    TOP_RETRIES,
    TOP_FAILURES,
    TOP_COLUMN_COUNT,
};

/* One direction of one cluster. */
struct top_row {
    char direction[16], cluster[TOP_NAME_SIZE];
    double values[TOP_COLUMN_COUNT];
};

struct top_endpoint {
    char cluster[TOP_NAME_SIZE], address[TOP_ADDRESS_SIZE], state[16];
    double active, connects, failures;
};

/* How connections of a row ended, but for `completed`. */
struct top_reason {
    char direction[16], cluster[TOP_NAME_SIZE], reason[32];
    double ended;
};

struct top_look {
    double seconds; /* when, monotonic */
    char state[16];
    double resident, buffer_used, dropped;
    struct top_row rows[TOP_MOST_ROWS];
    struct top_endpoint endpoints[TOP_MOST_ENDPOINTS];
    struct top_reason reasons[TOP_MOST_REASONS];
    size_t row_count, endpoint_count, reason_count, left_out;
};

/* Returns CTL_DONE, or the exit code; then `problem` says why. */
int top_look_take(const struct ctl_options *options, struct top_look *ret_look, char *problem, size_t size);

/* The same row, endpoint or reason of another look; NULL: not there. */
const struct top_row *top_look_find_row(const struct top_look *look, const struct top_row *row);
const struct top_endpoint *top_look_find_endpoint(const struct top_look *look, const struct top_endpoint *endpoint);
const struct top_reason *top_look_find_reason(const struct top_look *look, const struct top_reason *reason);

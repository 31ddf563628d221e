/* Which connections /connections shows: `?cluster=pg&state=established&age=5s`. Pure. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "proxy/observe/connections.h"

struct connection_filter {
    char id[32], cluster[CONNECTION_VIEW_NAME], direction[16], state[32]; /* "": any */
    char client[SOCKADDR_TEXT_SIZE], endpoint[SOCKADDR_TEXT_SIZE];        /* an address, or its beginning */
    uint64_t age_ms, idle_ms;                                             /* at least */
};

/* Reads the query. Returns true, or false with what is wrong in `problem`. */
bool connection_filter_parse(const char *query, struct connection_filter *ret_filter, char *problem, size_t size);

bool connection_filter_matches(const struct connection_filter *filter, const struct connection_view *view);

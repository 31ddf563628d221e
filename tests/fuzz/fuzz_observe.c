/*
 * Any query of /connections is understood or told what is wrong with it. Any line goes through the worker's ring and a
 * sink's queue whole. Any path of a unix socket in the access log makes valid JSON.
 */
#include "tests/fuzz/fuzz.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/macros.h"
#include "proxy/observe/access_line.h"
#include "proxy/observe/connection_filter.h"
#include "proxy/observe/log_ring.h"

static void try_query(const uint8_t *bytes, size_t length)
{
    struct connection_view view = { .id = 7, .state = "established", .cluster = "pg" };
    struct connection_filter filter;
    char query[8192], problem[192] = "";

    snprintf(query, sizeof query, "%.*s", (int)length, (const char *)bytes);
    if (connection_filter_parse(query, &filter, problem, sizeof problem))
        connection_filter_matches(&filter, &view);
    else if (problem[0] == '\0')
        abort();
}

static void try_line(const uint8_t *bytes, size_t length)
{
    union sockaddr_any endpoint = { .un = { .sun_family = AF_UNIX } };
    struct access_record record = { .cluster = "pg", .state = "established", .endpoint = &endpoint.any };
    char line[ACCESS_LINE_SIZE];
    json_t *tree;

    memcpy(endpoint.un.sun_path, bytes, MIN(length, sizeof endpoint.un.sun_path - 1));
    tree = json_loadb(line, access_line_write(&record, line), 0, NULL);
    if (!tree)
        abort();
    json_decref(tree);
}

static void try_ring(const uint8_t *bytes, size_t length)
{
    static struct log_ring ring;
    char line[ACCESS_LINE_SIZE];
    bool is_abnormal;

    length = MIN(length, (size_t)ACCESS_LINE_SIZE);
    if (!ring.bytes && log_ring_init(&ring) < 0)
        abort();
    if (length == 0)
        return;
    if (!log_ring_put(&ring, (const char *)bytes, length, length % 2) ||
        log_ring_take(&ring, line, &is_abnormal) != length || memcmp(line, bytes, length) != 0 ||
        is_abnormal != length % 2 || !log_ring_is_empty(&ring))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    try_query(bytes, length);
    try_line(bytes, length);
    try_ring(bytes, length);
    return 0;
}

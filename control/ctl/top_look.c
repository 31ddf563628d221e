#include "control/ctl/top_look.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/macros.h"
#include "control/ctl/client.h"

#define REQUEST_TIMEOUT_MS 5000

static const struct {
    const char *name, *label; /* a family, and what must stand among its labels */
    enum top_column column;
} families[] = {
    { "outrigger_connections_opened_total", "", TOP_OPENED },
    { "outrigger_connections_ended_total", "", TOP_ENDED },
    { "outrigger_connections_active", "", TOP_ACTIVE },
    { "outrigger_received_bytes_total", "from=\"client\"", TOP_FROM_CLIENT },
    { "outrigger_received_bytes_total", "from=\"upstream\"", TOP_FROM_UPSTREAM },
    { "outrigger_retries_total", "", TOP_RETRIES },
    { "outrigger_connect_failures_total", "", TOP_FAILURES },
};

/* Copies the value of a label, its escapes undone; "" when it is not there. What a terminal could obey becomes `?`. */
static void copy_label(const char *labels, const char *name, char *value, size_t size)
{
    const char *at = strstr(labels, name);
    size_t length = 0;

    for (at = at ? at + strlen(name) : ""; *at && *at != '"' && length + 1 < size; at++) {
        if (*at == '\\' && at[1])
            at++;
        value[length++] = (unsigned char)*at < ' ' || *at == 0x7f ? '?' : *at;
    }
    value[length] = '\0';
}

const struct top_row *top_look_find_row(const struct top_look *look, const struct top_row *row)
{
    for (size_t i = 0; i < look->row_count; i++) {
        if (strcmp(look->rows[i].direction, row->direction) == 0 && strcmp(look->rows[i].cluster, row->cluster) == 0)
            return &look->rows[i];
    }
    return NULL;
}

const struct top_endpoint *top_look_find_endpoint(const struct top_look *look, const struct top_endpoint *endpoint)
{
    for (size_t i = 0; i < look->endpoint_count; i++) {
        if (strcmp(look->endpoints[i].address, endpoint->address) == 0 &&
            strcmp(look->endpoints[i].cluster, endpoint->cluster) == 0)
            return &look->endpoints[i];
    }
    return NULL;
}

const struct top_reason *top_look_find_reason(const struct top_look *look, const struct top_reason *reason)
{
    for (size_t i = 0; i < look->reason_count; i++) {
        if (strcmp(look->reasons[i].reason, reason->reason) == 0 &&
            strcmp(look->reasons[i].cluster, reason->cluster) == 0 &&
            strcmp(look->reasons[i].direction, reason->direction) == 0)
            return &look->reasons[i];
    }
    return NULL;
}

static void take_row(struct top_look *look, const char *labels, enum top_column column, double value)
{
    struct top_row row = { 0 }, *found;

    copy_label(labels, "direction=\"", row.direction, sizeof row.direction);
    copy_label(labels, "cluster=\"", row.cluster, sizeof row.cluster);
    found = (struct top_row *)top_look_find_row(look, &row);
    if (!found && look->row_count == TOP_MOST_ROWS) {
        look->left_out++;
        return;
    }
    if (!found) {
        found = &look->rows[look->row_count++];
        *found = row;
    }
    found->values[column] += value;
}

static void take_reason(struct top_look *look, const char *labels, double value)
{
    struct top_reason *reason = &look->reasons[look->reason_count];

    if (look->reason_count == TOP_MOST_REASONS || strstr(labels, "reason=\"completed\""))
        return;
    copy_label(labels, "direction=\"", reason->direction, sizeof reason->direction);
    copy_label(labels, "cluster=\"", reason->cluster, sizeof reason->cluster);
    copy_label(labels, "reason=\"", reason->reason, sizeof reason->reason);
    reason->ended = value;
    look->reason_count++;
}

static void take_endpoint(struct top_look *look, const char *what, const char *labels, double value)
{
    struct top_endpoint endpoint = { 0 }, *found;

    copy_label(labels, "cluster=\"", endpoint.cluster, sizeof endpoint.cluster);
    copy_label(labels, "endpoint=\"", endpoint.address, sizeof endpoint.address);
    found = (struct top_endpoint *)top_look_find_endpoint(look, &endpoint);
    if (!found && look->endpoint_count == TOP_MOST_ENDPOINTS)
        return;
    if (!found) {
        found = &look->endpoints[look->endpoint_count++];
        *found = endpoint;
    }
    if (strcmp(what, "connections_active") == 0)
        found->active = value;
    else if (strcmp(what, "connects_total") == 0)
        found->connects = value;
    else if (strcmp(what, "connect_failures_total") == 0)
        found->failures = value;
    else if (strcmp(what, "state") == 0 && value == 1)
        copy_label(labels, "state=\"", found->state, sizeof found->state);
}

/* `name{labels} value`, or `name value` */
static void take_line(struct top_look *look, char *line)
{
    static const char endpoint_prefix[] = "outrigger_endpoint_";
    char *labels = strchr(line, '{'), *space = labels ? strstr(labels, "} ") : strchr(line, ' ');
    double value;

    if (!space)
        return;
    value = strtod(space + (labels ? 2 : 1), NULL);
    *space = '\0';
    if (labels)
        *labels++ = '\0';
    else
        labels = space;
    for (size_t i = 0; i < ARRAY_SIZE(families); i++) {
        if (strcmp(line, families[i].name) == 0 && strstr(labels, families[i].label))
            take_row(look, labels, families[i].column, value);
    }
    if (strcmp(line, "outrigger_connections_ended_total") == 0)
        take_reason(look, labels, value);
    else if (strncmp(line, endpoint_prefix, strlen(endpoint_prefix)) == 0)
        take_endpoint(look, line + strlen(endpoint_prefix), labels, value);
    else if (strcmp(line, "outrigger_ready") == 0)
        strcpy(look->state, value == 1 ? "ready" : "not ready");
    else if (strcmp(line, "process_resident_memory_bytes") == 0)
        look->resident = value;
    else if (strcmp(line, "outrigger_buffer_memory_bytes") == 0)
        look->buffer_used += value;
    else if (strcmp(line, "outrigger_buffer_memory_free_bytes") == 0)
        look->buffer_used -= value;
    else if (strcmp(line, "outrigger_log_dropped_lines_total") == 0 ||
             strcmp(line, "outrigger_access_log_dropped_lines_total") == 0)
        look->dropped += value;
}

int top_look_take(const struct ctl_options *options, struct top_look *ret_look, char *problem, size_t size)
{
    struct client_answer answer;
    struct timespec now;
    char *line, *rest;
    int r = client_request(options->socket_path, "GET", "/metrics", "text/plain", "", REQUEST_TIMEOUT_MS, &answer);

    if (r < 0) {
        snprintf(problem, size, "no proxy answers on %s: %s\n", options->socket_path, strerror(-r));
        return CTL_UNREACHABLE;
    }
    if (answer.status != 200) {
        snprintf(problem, size, "%.*s", (int)size - 1, answer.body);
        free(answer.body);
        return CTL_NO;
    }
    memset(ret_look, 0, sizeof *ret_look);
    clock_gettime(CLOCK_MONOTONIC, &now);
    ret_look->seconds = (double)now.tv_sec + (double)now.tv_nsec / 1e9;
    rest = answer.body;
    while ((line = strsep(&rest, "\n"))) {
        if (line[0] != '#')
            take_line(ret_look, line);
    }
    free(answer.body);
    return CTL_DONE;
}

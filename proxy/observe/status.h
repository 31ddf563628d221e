/* What /status answers: the process, its clusters and endpoints, as JSON for programs and as tables for people. */
#pragma once

#include <stdint.h>

#include "base/strbuf.h"
#include "proxy/upstream/cluster.h"

/* The configuration's file, and what came of loading it again. */
struct status_configuration {
    const char *path;
    uint64_t succeeded, refused;   /* reloads */
    double succeeded_s, refused_s; /* the last ones, since the epoch; the first also counts the start; 0: never */
    const char *problem;           /* why the last one was refused; NULL: it was not */
};

struct status_process {
    const char *state;
    const char *blockers; /* names in quotes, with commas between */
    uint64_t uptime_ms;
    double starting_s, ready_s, draining_s; /* when each state began, since the epoch; 0: not yet */
    unsigned active, max_connections, workers;
    const struct status_configuration *configuration;
};

/* The clusters alone. */
void clusters_append_json(const struct cluster_set *set, struct strbuf *text);
void clusters_append_text(const struct cluster_set *set, struct strbuf *text);

/* `12 opened; ended: completed 11, client_reset 1`, of all clusters that there have been. */
void endings_append_text(const struct cluster_registry *registry, struct strbuf *text);

/* `set` is NULL before there are clusters. */
void status_append_json(const struct status_process *process, const struct cluster_set *set, struct strbuf *text);
void status_append_text(const struct status_process *process, const struct cluster_set *set, struct strbuf *text);

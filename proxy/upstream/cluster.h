/*
 * Clusters and endpoints while the proxy runs: the configuration's with the counts that all workers share.
 * Owner: the process. Thread: any; the counts are atomic, the rest does not change.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include "proxy/config/model.h"

struct endpoint {
    union sockaddr_any address;
    atomic_uint active;    /* connections */
    atomic_ulong connects; /* attempts that succeeded */
    atomic_ulong connect_failures;
};

struct cluster {
    const struct cluster_config *config; /* borrowed from the configuration */
    size_t index;                        /* in the set */
    size_t endpoint_count;               /* 0 for original_destination */
    struct endpoint *endpoints;
    atomic_uint turn;   /* round robin */
    atomic_uint active; /* connections */
};

struct cluster_set {
    const struct config *config;
    size_t count;
    struct cluster *clusters; /* the configured ones in their order, the inbound ports', then the two built-in ones */
    struct cluster *inbound;
    struct cluster *passthrough;
};

/*
 * ret_set      set on success only; release with cluster_set_free()
 * `config` is borrowed and must live longer. Returns 0 or -ENOMEM.
 */
int cluster_set_new(const struct config *config, struct cluster_set **ret_set);
void cluster_set_free(struct cluster_set *set);

/* Where a captured outbound connection goes: the most specific match, or NULL. */
struct cluster *cluster_set_match_outbound(const struct cluster_set *set, const struct sockaddr *destination);

/* What a captured inbound connection to `port` uses. */
struct cluster *cluster_set_match_inbound(const struct cluster_set *set, uint16_t port);

struct cluster *cluster_set_find(const struct cluster_set *set, const char *name);

/* Takes one of the cluster's connections; false when circuit_breaker.max_connections is reached. */
bool cluster_acquire(struct cluster *cluster);
void cluster_release(struct cluster *cluster);

/* The place in the rotation at which a connection begins; its attempts go on from there. */
unsigned cluster_next_turn(struct cluster *cluster);

/* The endpoint for attempt number `attempt` (from 0): each once before any comes again. NULL for original_destination.
 */
struct endpoint *cluster_pick(const struct cluster *cluster, unsigned turn, unsigned attempt);

/*
 * The clusters of one configuration, with what they have become while the proxy runs.
 * Owner: the configuration's snapshot. Thread: any, but for what says otherwise.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "proxy/config/model.h"
#include "proxy/upstream/balancer.h"
#include "proxy/upstream/cluster_state.h"
#include "proxy/upstream/router.h"

struct cluster {
    const struct cluster_config *config; /* borrowed from the configuration */
    const char *zone;                    /* the proxy's own; NULL: not known */
    size_t index;                        /* in the set */
    struct cluster_state *state;         /* a reference: the set's */
};

struct cluster_set {
    const struct config *config;
    size_t count;
    struct cluster *clusters; /* the configured ones in their order, the inbound ports', then the two built-in ones */
    struct cluster *inbound;
    struct cluster *passthrough;
    struct router router; /* for captured outbound connections */
};

/*
 * Nothing is in force with it yet.
 *
 * registry     the states that there are; `config` and `registry` are borrowed and must live longer
 * ret_set      set on success only; release with cluster_set_free()
 * Returns 0 or -ENOMEM. Thread: the main thread.
 */
int cluster_set_new(const struct config *config, struct cluster_registry *registry, uint64_t now_ms,
                    struct cluster_set **ret_set);
void cluster_set_free(struct cluster_set *set);

/*
 * Puts it in force: from now on its limits, its faults where they are others than before, and its endpoints, but those
 * of clusters with names, which are discovery's. Returns 0, or -ENOMEM when some endpoints are still the old ones.
 * ret_changed  some cluster has other endpoints. Thread: the main thread.
 */
int cluster_set_publish(struct cluster_set *set, uint64_t now_ms, bool *ret_changed);

/* What a captured inbound connection to `port` uses. */
struct cluster *cluster_set_match_inbound(const struct cluster_set *set, uint16_t port);

struct cluster *cluster_set_find(const struct cluster_set *set, const char *name);

/* Takes one of the cluster's connections; false when circuit_breaker.max_connections is reached, or others wait. */
bool cluster_acquire(struct cluster *cluster);
void cluster_release(struct cluster *cluster);

/*
 * Waits for one. Returns false when circuit_breaker.max_pending wait already, or nothing may. Its `granted` may be
 * called before this returns.
 */
bool cluster_wait(struct cluster *cluster, struct waiter *waiter);

/* Gives up waiting. Returns false when the waiter was granted meanwhile: then it goes on. */
bool cluster_give_up_waiting(struct cluster *cluster, struct waiter *waiter);

/* Ends the waiting; a connection that was granted meanwhile is given back. */
void cluster_stop_waiting(struct cluster *cluster, struct waiter *waiter);

/* The place in the rotation at which a connection begins; its attempts go on from there. */
unsigned cluster_next_turn(struct cluster *cluster);

/* May a connection be retried? Then it is counted until cluster_end_retry(). */
bool cluster_begin_retry(struct cluster *cluster, uint64_t now_ms);
void cluster_end_retry(struct cluster *cluster);

/* Whose attempt it is that the functions below report, and how the endpoint was chosen. */
struct attempt_target {
    struct endpoint *endpoint; /* a reference; NULL for original_destination, or before the first attempt */
    uint64_t trial;            /* see outlier.h */
};

/*
 * Chooses the endpoint of an attempt, and counts it as active there. With none left, ret_target->endpoint is NULL.
 * `request` has everything but `config` and `all_healthy`, which are set here.
 */
void cluster_pick(struct cluster *cluster, struct balancer_request *request, struct attempt_target *ret_target);

/* What an active health check found. */
void cluster_set_down(struct cluster *cluster, struct endpoint *endpoint, bool is_down, uint64_t now_ms);

/*
 * By command: no connection goes to the endpoint any more, not in panic either; or it counts as healthy again, whatever
 * had been found by its connections. Active health checks have their own opinion.
 */
void cluster_disable(struct cluster *cluster, struct endpoint *endpoint);
void cluster_restore(struct cluster *cluster, struct endpoint *endpoint);

/* What came of it, once for each attempt. */
void cluster_report_success(struct cluster *cluster, struct attempt_target *target, uint64_t now_ms);
void cluster_report_failure(struct cluster *cluster, struct attempt_target *target, struct random *random,
                            uint64_t now_ms);

/* The attempt no longer counts at its endpoint; a trial that told nothing is given up. */
void cluster_let_go(struct attempt_target *target, uint64_t now_ms);

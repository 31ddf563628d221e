/*
 * Clusters while the proxy runs: the configuration's, with their endpoints and the counts that all workers share.
 * Owner: the process. Thread: any, but for what says otherwise.
 */
#pragma once

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include "proxy/config/model.h"
#include "proxy/policy/faults.h"
#include "proxy/upstream/balancer.h"
#include "proxy/upstream/endpoint_set.h"
#include "proxy/upstream/retry_budget.h"
#include "proxy/upstream/router.h"
#include "proxy/upstream/wait_queue.h"

struct cluster {
    const struct cluster_config *config; /* borrowed from the configuration */
    const char *zone;                    /* the proxy's own; NULL: not known */
    size_t index;                        /* in the set */
    pthread_mutex_t mutex;               /* of `endpoints`, and of changes of their health */
    struct endpoint_set *endpoints;      /* the newest; read by cluster_view_get(). NULL for original_destination */
    atomic_uint generation;              /* changes with `endpoints` */
    atomic_bool is_impaired;             /* some endpoint is not healthy */
    atomic_uint turn;                    /* connections so far */
    atomic_uint active;                  /* connections */
    atomic_uint retrying;                /* of them, that are being retried */
    struct wait_queue pending;
    struct retry_budget budget;
    atomic_ulong pending_overflows, retry_overflows; /* refused: by max_pending; by budget or max_retries */
    atomic_ulong ejections;
    struct faults faults;
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
 * ret_set      set on success only; release with cluster_set_free()
 * `config` is borrowed and must live longer. Returns 0 or -ENOMEM.
 */
int cluster_set_new(const struct config *config, uint64_t now_ms, struct cluster_set **ret_set);
void cluster_set_free(struct cluster_set *set);

/* What a captured inbound connection to `port` uses. */
struct cluster *cluster_set_match_inbound(const struct cluster_set *set, uint16_t port);

struct cluster *cluster_set_find(const struct cluster_set *set, const char *name);

/* One thread's view of a cluster's endpoints, so that looking at them takes no lock. An all-zero struct has none. */
struct cluster_view {
    struct endpoint_set *endpoints;
    unsigned generation;
};

/* The newest endpoints, or NULL for original_destination. They stay until the view's next call. Thread: the view's. */
const struct endpoint_set *cluster_view_get(struct cluster_view *view, struct cluster *cluster);
void cluster_view_done(struct cluster_view *view);

/* The newest endpoints, as a reference of the caller's; NULL for original_destination. */
struct endpoint_set *cluster_get_endpoints(struct cluster *cluster);

/* Fills in a slot for an endpoint that this entry of the configuration stands for. Borrows both. */
void cluster_make_slot(const struct cluster *cluster, const struct endpoint_config *config, struct endpoint *endpoint,
                       struct endpoint_slot *ret_slot);

/*
 * Makes `endpoints` the cluster's, and takes the reference over. What is in the old ones alone is marked as gone.
 * Returns whether they differ.
 */
bool cluster_publish(struct cluster *cluster, struct endpoint_set *endpoints, uint64_t now_ms);

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

/* What came of it, once for each attempt. */
void cluster_report_success(struct cluster *cluster, struct attempt_target *target, uint64_t now_ms);
void cluster_report_failure(struct cluster *cluster, struct attempt_target *target, struct random *random,
                            uint64_t now_ms);

/* The attempt no longer counts at its endpoint; a trial that told nothing is given up. */
void cluster_let_go(struct attempt_target *target, uint64_t now_ms);

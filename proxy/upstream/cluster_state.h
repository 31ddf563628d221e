/*
 * What a cluster has become while the proxy runs: its endpoints with their health, its counts and its queue. A reload
 * makes another struct cluster, with other policies; this belongs to the cluster's name and stays.
 *
 * Owner: whoever holds a reference, which the main thread alone takes and gives back. Thread: any, but for what says
 * otherwise.
 */
#pragma once

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/list.h"
#include "proxy/config/model.h"
#include "proxy/observe/counters.h"
#include "proxy/policy/faults.h"
#include "proxy/upstream/endpoint_registry.h"
#include "proxy/upstream/endpoint_set.h"
#include "proxy/upstream/retry_budget.h"
#include "proxy/upstream/wait_queue.h"

struct cluster;
struct cluster_registry;

/* One thread's view of a cluster's endpoints, so that looking at them takes no lock. An all-zero struct has none. */
struct cluster_view {
    struct endpoint_set *endpoints;
    unsigned generation;
};

/* What each worker has for itself. */
struct cluster_shard {
    _Alignas(64) struct counters counters[DIRECTION_COUNT];
    struct cluster_view view;
};

/* By which it is found. One with original_destination is another cluster than one with endpoints. */
struct cluster_key {
    const char *name;
    bool has_endpoints;
};

struct cluster_state {
    struct cluster_key key;
    struct cluster_registry *registry;
    struct list_node in_registry;
    unsigned references;                  /* the main thread's */
    struct cluster *newest;               /* of the configuration in force, NULL: not in it; see worker_adopt() */
    struct endpoint_registry known;       /* the main thread's */
    bool was_published;                   /* all its endpoints; others join them. The main thread's */
    struct faults_config configured;      /* faults. The main thread's */
    pthread_mutex_t mutex;                /* of `endpoints`, and of changes of their health */
    struct endpoint_set *endpoints;       /* the newest; read by cluster_view_get(). NULL for original_destination */
    atomic_uint generation;               /* changes with `endpoints` */
    atomic_bool is_impaired;              /* some endpoint is not healthy */
    atomic_uint_fast64_t max_connections; /* of the configuration in force: whoever ends grants those that wait */
    atomic_uint turn;                     /* connections so far */
    atomic_uint active;                   /* connections */
    atomic_uint retrying;                 /* of them, that are being retried */
    struct wait_queue pending;
    struct retry_budget budget;
    atomic_ulong pending_overflows, retry_overflows; /* refused: by max_pending; by budget or max_retries */
    atomic_ulong ejections;
    struct faults faults;
    struct cluster_shard *shards; /* one for each worker */
    unsigned shard_count;
    char name[]; /* the key's */
};

/* The states there are, by name, also of clusters that are gone but for some connections. Thread: the main thread's. */
struct cluster_registry {
    void *tree; /* tsearch(3) */
    struct list_node states;
    unsigned workers;
    struct counters gone[DIRECTION_COUNT]; /* of states that are gone: totals never go back */
};

/* `workers` is how many there will be. */
void cluster_registry_init(struct cluster_registry *registry, unsigned workers);

/* Every state must be gone. */
void cluster_registry_done(struct cluster_registry *registry);

/*
 * The state of the cluster that `config` describes, known or new, as a reference of the caller's. One that is new has
 * no endpoints yet. `registry` must outlive it. Returns 0 or -ENOMEM.
 */
int cluster_registry_get(struct cluster_registry *registry, const struct cluster_config *config, uint64_t now_ms,
                         struct cluster_state **ret_state);
void cluster_state_unref(struct cluster_state *state);

/* Notes whether all endpoints are healthy. With the mutex held, after a change of health. */
void cluster_state_look_at_health(struct cluster_state *state);

/* All that was ever counted in one direction, also of clusters that are gone. */
struct counters cluster_registry_count(const struct cluster_registry *registry, enum direction direction);

/* The sum over the workers. */
struct counters cluster_state_count(const struct cluster_state *state, enum direction direction);

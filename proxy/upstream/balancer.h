/*
 * Which endpoint an attempt goes to: of those that are healthy and were not tried yet, of the lowest priority that has
 * any, in the own zone first, by the cluster's strategy. An ejected endpoint whose time is up gets one connection as
 * its trial.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/random.h"
#include "proxy/upstream/endpoint_set.h"

/* One attempt's. */
struct balancer_request {
    const struct cluster_config *config;
    const struct endpoint_set *set;
    bool all_healthy;              /* every endpoint of the set is known to be */
    struct endpoint *const *tried; /* by this connection */
    size_t tried_count;
    struct random *random;
    unsigned turn; /* of the connection */
    uint64_t hash; /* of the client's address */
    uint64_t now_ms;
};

/*
 * ret_trial    the token when the attempt is a trial (see outlier.h), else 0
 * Returns NULL when every endpoint that may be used was tried already, or there is none.
 */
struct endpoint *balancer_pick(const struct balancer_request *request, uint64_t *ret_trial);

/* How many endpoints of the set count as healthy. */
size_t balancer_count_healthy(const struct endpoint_set *set);

#include "proxy/upstream/cluster.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int init_cluster(struct cluster_set *set, const struct cluster_config *config, struct cluster **ret_cluster)
{
    struct cluster *cluster = &set->clusters[set->count];

    cluster->config = config;
    cluster->index = set->count;
    if (config->endpoints.count > 0) {
        cluster->endpoints = calloc(config->endpoints.count, sizeof *cluster->endpoints);
        if (!cluster->endpoints)
            return -ENOMEM;
    }
    cluster->endpoint_count = config->endpoints.count;
    for (size_t i = 0; i < cluster->endpoint_count; i++)
        cluster->endpoints[i].address = config->endpoints.items[i].address;
    set->count++;
    if (ret_cluster)
        *ret_cluster = cluster;
    return 0;
}

int cluster_set_new(const struct config *config, struct cluster_set **ret_set)
{
    size_t inbound_ports = config->intercept.inbound.ports.count;
    struct cluster_set *set = calloc(1, sizeof *set);
    int r = 0;

    if (!set)
        return -ENOMEM;
    set->config = config;
    set->clusters = calloc(config->clusters.count + inbound_ports + 2, sizeof *set->clusters);
    if (!set->clusters)
        r = -ENOMEM;
    for (size_t i = 0; r == 0 && i < config->clusters.count; i++)
        r = init_cluster(set, &config->clusters.items[i], NULL);
    for (size_t i = 0; r == 0 && i < inbound_ports; i++)
        r = init_cluster(set, &config->intercept.inbound.ports.items[i].cluster, NULL);
    if (r == 0)
        r = init_cluster(set, &config->inbound, &set->inbound);
    if (r == 0)
        r = init_cluster(set, &config->passthrough, &set->passthrough);
    if (r < 0) {
        cluster_set_free(set);
        return r;
    }
    *ret_set = set;
    return 0;
}

void cluster_set_free(struct cluster_set *set)
{
    if (!set)
        return;
    for (size_t i = 0; i < set->count; i++)
        free(set->clusters[i].endpoints);
    free(set->clusters);
    free(set);
}

struct cluster *cluster_set_match_outbound(const struct cluster_set *set, const struct sockaddr *destination)
{
    uint16_t port = sockaddr_port(destination);

    for (size_t i = 0; i < set->config->match_rules.count; i++) {
        const struct match_rule *rule = &set->config->match_rules.items[i];

        if (port_range_contains(rule->ports, port) && cidr_contains(&rule->block, destination))
            return &set->clusters[rule->cluster];
    }
    return NULL;
}

struct cluster *cluster_set_match_inbound(const struct cluster_set *set, uint16_t port)
{
    const struct inbound_port_config *entries = set->config->intercept.inbound.ports.items;

    for (size_t i = 0; i < set->config->intercept.inbound.ports.count; i++) {
        for (size_t j = 0; j < entries[i].ports.count; j++) {
            if (port_range_contains(entries[i].ports.items[j], port))
                return &set->clusters[set->config->clusters.count + i];
        }
    }
    return set->inbound;
}

struct cluster *cluster_set_find(const struct cluster_set *set, const char *name)
{
    for (size_t i = 0; i < set->count; i++) {
        if (strcmp(set->clusters[i].config->name, name) == 0)
            return &set->clusters[i];
    }
    return NULL;
}

bool cluster_acquire(struct cluster *cluster)
{
    uint64_t limit = cluster->config->circuit_breaker.max_connections;
    unsigned count = atomic_load_explicit(&cluster->active, memory_order_relaxed);

    do {
        if (limit != CONFIG_UNLIMITED && count >= limit)
            return false;
    } while (!atomic_compare_exchange_weak_explicit(&cluster->active, &count, count + 1, memory_order_relaxed,
                                                    memory_order_relaxed));
    return true;
}

void cluster_release(struct cluster *cluster)
{
    atomic_fetch_sub_explicit(&cluster->active, 1, memory_order_relaxed);
}

unsigned cluster_next_turn(struct cluster *cluster)
{
    return atomic_fetch_add_explicit(&cluster->turn, 1, memory_order_relaxed);
}

struct endpoint *cluster_pick(const struct cluster *cluster, unsigned turn, unsigned attempt)
{
    if (cluster->endpoint_count == 0)
        return NULL;
    return &cluster->endpoints[((size_t)turn + attempt) % cluster->endpoint_count];
}

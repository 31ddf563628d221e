#include "proxy/upstream/discovery.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "proxy/upstream/cluster_endpoints.h"
#include "proxy/upstream/dns_name.h"

/* An endpoint of the configuration that is a name. */
struct entry {
    struct discoverer *discovery;
    struct cluster *cluster;
};

/* What is kept for each cluster; all zero where nothing is resolved. */
struct discovered {
    struct entry *entries;
    struct dns_name **names; /* of each entry; NULL once another discoverer has taken it over */
    size_t count;
};

struct discoverer {
    struct cluster_set *clusters;
    struct discovered *discovered; /* of each cluster */
    void (*on_answer)(void *owner, struct cluster *cluster, bool changed);
    void *owner;
};

bool discovery_knows(const struct discoverer *discovery, const struct cluster *cluster)
{
    const struct discovered *discovered = &discovery->discovered[cluster->index];

    for (size_t i = 0; i < discovered->count; i++) {
        if (!dns_name_is_answered(discovered->names[i]))
            return false;
    }
    return true;
}

static bool has_addresses(const struct discovered *discovered)
{
    for (size_t i = 0; i < discovered->count; i++) {
        if (discovered->names[i]->families[DNS_IPV4].count + discovered->names[i]->families[DNS_IPV6].count > 0)
            return true;
    }
    return false;
}

/*
 * A cluster that had endpoints before its names were known goes on with those until then; and for as long as nothing at
 * all is known, since the names' servers cannot be asked.
 */
static bool waits_for_names(const struct discovered *discovered, const struct cluster_state *state)
{
    bool is_answered = true;

    if (!state->was_published)
        return false;
    for (size_t i = 0; i < discovered->count; i++) {
        if (!dns_name_is_known(discovered->names[i]))
            return true;
        is_answered &= dns_name_is_answered(discovered->names[i]);
    }
    return !is_answered && !has_addresses(discovered);
}

/* Returns whether the cluster has other endpoints now. */
static bool publish(struct discoverer *discovery, struct cluster *cluster)
{
    const struct discovered *discovered = &discovery->discovered[cluster->index];
    bool changed;

    if (waits_for_names(discovered, cluster->state))
        return false;
    cluster_publish(cluster, (const struct dns_name *const *)discovered->names, clock_now_ms(), &changed);
    cluster->state->was_published |= discovery_knows(discovery, cluster);
    return changed;
}

static void on_name_answer(void *owner)
{
    struct entry *entry = owner;
    struct discoverer *discovery = entry->discovery;

    discovery->on_answer(discovery->owner, entry->cluster, publish(discovery, entry->cluster));
}

static size_t count_names(const struct cluster_config *config)
{
    size_t count = 0;

    for (size_t i = 0; i < config->endpoints.count; i++)
        count += config->endpoints.items[i].at.host != NULL;
    return count;
}

static int prepare(struct discoverer *discovery, struct event_base *base, struct dns_resolver *resolver,
                   struct cluster *cluster)
{
    struct discovered *discovered = &discovery->discovered[cluster->index];
    const struct cluster_config *config = cluster->config;
    size_t count = count_names(config);

    if (count == 0)
        return 0;
    discovered->entries = calloc(count, sizeof *discovered->entries);
    discovered->names = calloc(count, sizeof *discovered->names);
    if (!discovered->entries || !discovered->names)
        return -ENOMEM;
    for (size_t i = 0; i < config->endpoints.count; i++) {
        const char *host = config->endpoints.items[i].at.host;
        struct entry *entry = &discovered->entries[discovered->count];
        struct dns_name *name = host ? dns_name_new(base, resolver, host) : NULL;

        if (!host)
            continue;
        if (!name)
            return -ENOMEM;
        *entry = (struct entry){ discovery, cluster };
        dns_name_own(name, config->name, on_name_answer, entry);
        discovered->names[discovered->count++] = name;
    }
    return 0;
}

int discovery_new(struct event_base *base, struct dns_resolver *resolver, struct cluster_set *clusters,
                  void (*on_answer)(void *owner, struct cluster *cluster, bool changed), void *owner,
                  struct discoverer **ret_discovery)
{
    struct discoverer *discovery = calloc(1, sizeof *discovery);
    int r = 0;

    if (!discovery)
        return -ENOMEM;
    discovery->clusters = clusters;
    discovery->on_answer = on_answer;
    discovery->owner = owner;
    discovery->discovered = calloc(clusters->count, sizeof *discovery->discovered);
    if (!discovery->discovered)
        r = -ENOMEM;
    for (size_t i = 0; r == 0 && i < clusters->count; i++)
        r = prepare(discovery, base, resolver, &clusters->clusters[i]);
    if (r < 0) {
        discovery_free(discovery);
        return r;
    }
    *ret_discovery = discovery;
    return 0;
}

/* A name of the same cluster in the configuration before. */
static struct dns_name **find_name(struct discovered *previous, const char *host)
{
    for (size_t i = 0; i < previous->count; i++) {
        if (previous->names[i] && strcmp(previous->names[i]->host, host) == 0)
            return &previous->names[i];
    }
    return NULL;
}

static void take_names(struct discovered *discovered, struct discovered *previous, const struct cluster *cluster)
{
    for (size_t i = 0; i < discovered->count; i++) {
        struct dns_name **known = find_name(previous, discovered->names[i]->host);

        if (!known)
            continue;
        dns_name_free(discovered->names[i]);
        discovered->names[i] = *known;
        *known = NULL;
        dns_name_own(discovered->names[i], cluster->config->name, on_name_answer, &discovered->entries[i]);
    }
}

static void take_over(struct discoverer *discovery, struct discoverer *previous)
{
    for (size_t i = 0; i < previous->clusters->count; i++) {
        const struct cluster *newest = previous->clusters->clusters[i].state->newest;

        if (newest)
            take_names(&discovery->discovered[newest->index], &previous->discovered[i], newest);
    }
}

bool discovery_begin(struct discoverer *discovery, struct discoverer *previous)
{
    bool changed = false;

    if (previous)
        take_over(discovery, previous);
    for (size_t i = 0; i < discovery->clusters->count; i++) {
        const struct discovered *discovered = &discovery->discovered[i];

        if (discovered->count > 0)
            changed |= publish(discovery, &discovery->clusters->clusters[i]);
        for (size_t j = 0; j < discovered->count; j++)
            dns_name_begin(discovered->names[j]);
    }
    return changed;
}

void discovery_free(struct discoverer *discovery)
{
    if (!discovery)
        return;
    for (size_t i = 0; discovery->discovered && i < discovery->clusters->count; i++) {
        struct discovered *discovered = &discovery->discovered[i];

        for (size_t j = 0; j < discovered->count; j++)
            dns_name_free(discovered->names[j]);
        free(discovered->names);
        free(discovered->entries);
    }
    free(discovery->discovered);
    free(discovery);
}

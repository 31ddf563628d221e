#include "proxy/upstream/discovery.h"

#include <errno.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/macros.h"
#include "proxy/upstream/dns_name.h"
#include "proxy/upstream/endpoint_registry.h"

/* An endpoint of the configuration that is a name. */
struct entry {
    struct discoverer *discovery;
    struct cluster *cluster;
    const struct endpoint_config *config;
    struct dns_name name;
};

/* What is kept for each cluster; all zero where nothing is resolved. */
struct discovered {
    struct entry *entries;
    size_t entry_count;
    struct endpoint_registry registry;
    bool was_known; /* every name's first answer is in what was published */
};

struct discoverer {
    struct cluster_set *clusters;
    struct dns_resolver *resolver; /* borrowed */
    struct discovered *discovered; /* of each cluster */
    struct random random;
    void (*on_answer)(void *owner, struct cluster *cluster, bool changed);
    void *owner;
};

/* Slots of one cluster that are being collected. */
struct collection {
    struct discovered *discovered;
    struct endpoint_slot *slots;
    size_t count;
    bool is_full;
};

static void collect(struct collection *collection, const struct cluster *cluster, const union sockaddr_any *address,
                    const struct endpoint_config *config)
{
    struct discovered *discovered = collection->discovered;
    struct endpoint *endpoint;

    for (size_t i = 0; i < collection->count; i++) {
        if (sockaddr_equal(&collection->slots[i].endpoint->address.any, &address->any))
            return;
    }
    if (collection->count == ENDPOINT_SET_MOST) {
        collection->is_full = true;
        return;
    }
    /* Slow start is for those that join others. */
    endpoint = endpoint_registry_get(&discovered->registry, address, discovered->was_known ? clock_now_ms() : 0);
    if (endpoint)
        cluster_make_slot(cluster, config, endpoint, &collection->slots[collection->count++]);
}

static void collect_name(struct collection *collection, const struct entry *entry)
{
    for (size_t family = 0; family < DNS_FAMILIES; family++) {
        for (size_t i = 0; i < entry->name.families[family].count; i++) {
            union sockaddr_any address = { 0 };

            address.inet = entry->name.families[family].addresses[i];
            sockaddr_set_port(&address.any, entry->config->at.port);
            collect(collection, entry->cluster, &address, entry->config);
        }
    }
}

/* In the order of the configuration; within a name by address: the same answers make the same set. */
static void collect_all(struct collection *collection, const struct cluster *cluster)
{
    const struct entry *entry = collection->discovered->entries;

    for (size_t i = 0; i < cluster->config->endpoints.count; i++) {
        const struct endpoint_config *config = &cluster->config->endpoints.items[i];

        if (config->at.host)
            collect_name(collection, entry++);
        else
            collect(collection, cluster, &config->at.address, config);
    }
}

/* Returns whether the cluster has other endpoints now. */
static bool publish(struct discoverer *discovery, struct cluster *cluster)
{
    struct collection collection = { .discovered = &discovery->discovered[cluster->index],
                                     .slots = calloc(ENDPOINT_SET_MOST, sizeof *collection.slots) };
    struct endpoint_set *set = NULL;
    bool changed = false;

    if (collection.slots)
        collect_all(&collection, cluster);
    if (collection.is_full)
        log_warning("cluster %s: its names have more than %d addresses; the rest is left out", cluster->config->name,
                    ENDPOINT_SET_MOST);
    if (!collection.slots || endpoint_set_new(collection.slots, collection.count, &set) < 0)
        log_error("cluster %s: no memory for its new endpoints; the old ones stay", cluster->config->name);
    else
        changed = cluster_publish(cluster, set, clock_now_ms());
    if (changed)
        log_info("cluster %s: %zu endpoints", cluster->config->name, collection.count);
    for (size_t i = 0; i < collection.count; i++)
        endpoint_unref(collection.slots[i].endpoint);
    free(collection.slots);
    endpoint_registry_forget_old(&collection.discovered->registry, clock_now_ms());
    return changed;
}

bool discovery_knows(const struct discoverer *discovery, const struct cluster *cluster)
{
    const struct discovered *discovered = discovery ? &discovery->discovered[cluster->index] : NULL;

    for (size_t i = 0; discovered && i < discovered->entry_count; i++) {
        if (!dns_name_is_answered(&discovered->entries[i].name))
            return false;
    }
    return true;
}

static void on_answer(void *owner)
{
    struct entry *entry = owner;
    struct discoverer *discovery = entry->discovery;

    bool changed = publish(discovery, entry->cluster);

    discovery->discovered[entry->cluster->index].was_known = discovery_knows(discovery, entry->cluster);
    discovery->on_answer(discovery->owner, entry->cluster, changed);
}

static size_t count_names(const struct cluster_config *config)
{
    size_t count = 0;

    for (size_t i = 0; i < config->endpoints.count; i++)
        count += config->endpoints.items[i].at.host != NULL;
    return count;
}

/* Addresses stand beside the names; they are known from the start. */
static void register_addresses(struct discovered *discovered, struct cluster *cluster)
{
    struct endpoint_set *set = cluster_get_endpoints(cluster);

    for (size_t i = 0; set && i < set->count; i++)
        endpoint_registry_add(&discovered->registry, set->slots[i].endpoint);
    endpoint_set_unref(set);
}

static int prepare(struct discoverer *discovery, struct event_base *base, struct cluster *cluster)
{
    struct discovered *discovered = &discovery->discovered[cluster->index];
    const struct cluster_config *config = cluster->config;
    size_t count = count_names(config);

    if (count == 0)
        return 0;
    discovered->entries = calloc(count, sizeof *discovered->entries);
    if (!discovered->entries)
        return -ENOMEM;
    register_addresses(discovered, cluster);
    for (size_t i = 0; i < config->endpoints.count; i++) {
        struct entry *entry = &discovered->entries[discovered->entry_count];

        if (!config->endpoints.items[i].at.host)
            continue;
        discovered->entry_count++;
        entry->discovery = discovery;
        entry->cluster = cluster;
        entry->config = &config->endpoints.items[i];
        dns_name_init(&entry->name, base, discovery->resolver, &discovery->random, entry->config->at.host, config->name,
                      on_answer, entry);
    }
    return 0;
}

int discovery_new(struct event_base *base, struct dns_resolver *resolver, struct cluster_set *clusters,
                  void (*on_cluster_answer)(void *owner, struct cluster *cluster, bool changed), void *owner,
                  struct discoverer **ret_discovery)
{
    struct discoverer *discovery = calloc(1, sizeof *discovery);
    int r = 0;

    if (!discovery)
        return -ENOMEM;
    discovery->clusters = clusters;
    discovery->resolver = resolver;
    discovery->on_answer = on_cluster_answer;
    discovery->owner = owner;
    random_init_from_system(&discovery->random);
    discovery->discovered = calloc(clusters->count, sizeof *discovery->discovered);
    if (!discovery->discovered)
        r = -ENOMEM;
    for (size_t i = 0; r == 0 && i < clusters->count; i++)
        r = prepare(discovery, base, &clusters->clusters[i]);
    if (r < 0) {
        discovery_free(discovery);
        return r;
    }
    *ret_discovery = discovery;
    return 0;
}

void discovery_begin(struct discoverer *discovery)
{
    for (size_t i = 0; i < discovery->clusters->count; i++) {
        for (size_t j = 0; j < discovery->discovered[i].entry_count; j++)
            dns_name_begin(&discovery->discovered[i].entries[j].name);
    }
}

void discovery_free(struct discoverer *discovery)
{
    if (!discovery)
        return;
    for (size_t i = 0; discovery->discovered && i < discovery->clusters->count; i++) {
        struct discovered *discovered = &discovery->discovered[i];

        for (size_t j = 0; j < discovered->entry_count; j++)
            dns_name_done(&discovered->entries[j].name);
        free(discovered->entries);
        endpoint_registry_done(&discovered->registry);
    }
    free(discovery->discovered);
    free(discovery);
}

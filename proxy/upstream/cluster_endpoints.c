#include "proxy/upstream/cluster_endpoints.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"

struct endpoint_set *cluster_get_endpoints(struct cluster_state *state)
{
    struct endpoint_set *endpoints;

    pthread_mutex_lock(&state->mutex);
    endpoints = state->endpoints;
    if (endpoints)
        endpoint_set_ref(endpoints);
    pthread_mutex_unlock(&state->mutex);
    return endpoints;
}

const struct endpoint_set *cluster_view_get(struct cluster_view *view, struct cluster_state *state)
{
    if (view->generation == atomic_load_explicit(&state->generation, memory_order_acquire))
        return view->endpoints;
    endpoint_set_unref(view->endpoints);
    /* First the number: should the endpoints change in between, the next call looks again. */
    view->generation = atomic_load_explicit(&state->generation, memory_order_acquire);
    view->endpoints = cluster_get_endpoints(state);
    return view->endpoints;
}

/* Slots of one cluster that are being collected. */
struct collection {
    const struct cluster *cluster;
    struct endpoint_slot *slots;
    size_t count;
    uint64_t now_ms;
    bool is_full;
};

static struct endpoint_slot make_slot(const struct cluster *cluster, const struct endpoint_config *config,
                                      struct endpoint *endpoint)
{
    return (struct endpoint_slot){
        .endpoint = endpoint,
        .weight = (uint32_t)config->weight,
        .priority = (uint32_t)config->priority,
        .is_near = cluster->config->load_balancing.zone_aware && cluster->zone && config->zone &&
                   strcmp(cluster->zone, config->zone) == 0,
    };
}

static void collect(struct collection *collection, const struct endpoint_config *config,
                    const union sockaddr_any *address)
{
    struct cluster_state *state = collection->cluster->state;
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
    endpoint = endpoint_registry_get(&state->known, address, state->was_published ? collection->now_ms : 0);
    if (endpoint)
        collection->slots[collection->count++] = make_slot(collection->cluster, config, endpoint);
}

static void collect_name(struct collection *collection, const struct endpoint_config *config,
                         const struct dns_name *name)
{
    for (size_t family = 0; family < DNS_FAMILIES; family++) {
        for (size_t i = 0; i < name->families[family].count; i++) {
            union sockaddr_any address = { 0 };

            address.inet = name->families[family].addresses[i];
            sockaddr_set_port(&address.any, config->at.port);
            collect(collection, config, &address);
        }
    }
}

/* In the order of the configuration; within a name by address: the same answers make the same set. */
static void collect_all(struct collection *collection, const struct dns_name *const *names)
{
    const struct cluster_config *config = collection->cluster->config;

    for (size_t i = 0; i < config->endpoints.count; i++) {
        const struct endpoint_config *endpoint = &config->endpoints.items[i];

        if (endpoint->at.host)
            collect_name(collection, endpoint, *names++);
        else
            collect(collection, endpoint, &endpoint->at.address);
    }
}

static bool is_same(const struct endpoint_set *a, const struct endpoint_set *b)
{
    if (a->count != b->count)
        return false;
    for (size_t i = 0; i < a->count; i++) {
        const struct endpoint_slot *one = &a->slots[i], *other = &b->slots[i];

        if (one->endpoint != other->endpoint || one->weight != other->weight || one->priority != other->priority ||
            one->is_near != other->is_near)
            return false;
    }
    return true;
}

static void mark_gone(const struct endpoint_set *before, const struct endpoint_set *after, uint64_t now_ms)
{
    for (size_t i = 0; i < before->count; i++) {
        struct endpoint *endpoint = before->slots[i].endpoint;

        if (endpoint_set_find(after, &endpoint->address.any))
            continue;
        atomic_store_explicit(&endpoint->lost_ms, now_ms, memory_order_relaxed);
        atomic_store_explicit(&endpoint->is_gone, true, memory_order_relaxed);
    }
}

/* Takes the reference over. Returns whether it differs from the old one. */
static bool replace(struct cluster_state *state, struct endpoint_set *endpoints, uint64_t now_ms)
{
    struct endpoint_set *before;

    pthread_mutex_lock(&state->mutex);
    before = state->endpoints;
    if (is_same(before, endpoints)) {
        pthread_mutex_unlock(&state->mutex);
        endpoint_set_unref(endpoints);
        return false;
    }
    mark_gone(before, endpoints, now_ms);
    state->endpoints = endpoints;
    cluster_state_look_at_health(state);
    atomic_fetch_add_explicit(&state->generation, 1, memory_order_release);
    pthread_mutex_unlock(&state->mutex);
    endpoint_set_unref(before);
    return true;
}

int cluster_publish(struct cluster *cluster, const struct dns_name *const *names, uint64_t now_ms, bool *ret_changed)
{
    struct collection collection = { .cluster = cluster,
                                     .slots = calloc(ENDPOINT_SET_MOST, sizeof *collection.slots),
                                     .now_ms = now_ms };
    struct endpoint_set *set;
    int r = -ENOMEM;

    *ret_changed = false;
    if (collection.slots) {
        collect_all(&collection, names);
        r = endpoint_set_new(collection.slots, collection.count, &set);
    }
    if (collection.is_full)
        log_warning("cluster %s: its names have more than %d addresses; the rest is left out", cluster->config->name,
                    ENDPOINT_SET_MOST);
    if (r == 0)
        *ret_changed = replace(cluster->state, set, now_ms);
    else
        log_error("cluster %s: no memory for its new endpoints; the old ones stay", cluster->config->name);
    if (*ret_changed && (names || cluster->state->was_published))
        log_info("cluster %s: %zu endpoints", cluster->config->name, collection.count);
    for (size_t i = 0; i < collection.count; i++)
        endpoint_unref(collection.slots[i].endpoint);
    free(collection.slots);
    endpoint_registry_forget_old(&cluster->state->known, now_ms);
    return r;
}

void cluster_publish_none(struct cluster_state *state, uint64_t now_ms)
{
    struct endpoint_set *none;

    if (state->key.has_endpoints && endpoint_set_new(NULL, 0, &none) == 0)
        replace(state, none, now_ms);
}

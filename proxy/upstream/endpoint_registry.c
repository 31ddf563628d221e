#include "proxy/upstream/endpoint_registry.h"

#include <stdlib.h>

#define KEEP_MS (10 * 60 * 1000)

static bool is_gone(const struct endpoint *endpoint)
{
    return atomic_load_explicit(&endpoint->is_gone, memory_order_relaxed);
}

static uint64_t gone_ms(const struct endpoint *endpoint)
{
    return atomic_load_explicit(&endpoint->lost_ms, memory_order_relaxed);
}

static void forget(struct endpoint_registry *registry, size_t index)
{
    endpoint_unref(registry->items[index]);
    registry->items[index] = registry->items[--registry->count];
}

static void make_room(struct endpoint_registry *registry)
{
    size_t oldest = registry->count;

    for (size_t i = 0; i < registry->count; i++) {
        if (is_gone(registry->items[i]) &&
            (oldest == registry->count || gone_ms(registry->items[i]) < gone_ms(registry->items[oldest])))
            oldest = i;
    }
    if (oldest < registry->count)
        forget(registry, oldest);
}

void endpoint_registry_add(struct endpoint_registry *registry, struct endpoint *endpoint)
{
    if (registry->count == ENDPOINT_REGISTRY_MOST)
        make_room(registry);
    if (registry->count == ENDPOINT_REGISTRY_MOST)
        return;
    if (registry->count == registry->room) {
        size_t room = registry->room > 0 ? 2 * registry->room : 8;
        struct endpoint **grown = reallocarray(registry->items, room, sizeof(struct endpoint *));

        if (!grown)
            return;
        registry->items = grown;
        registry->room = room;
    }
    endpoint_ref(endpoint);
    registry->items[registry->count++] = endpoint;
}

struct endpoint *endpoint_registry_get(struct endpoint_registry *registry, const union sockaddr_any *address,
                                       uint64_t added_ms)
{
    struct endpoint *endpoint;

    for (size_t i = 0; i < registry->count; i++) {
        endpoint = registry->items[i];
        if (!sockaddr_equal(&endpoint->address.any, &address->any))
            continue;
        if (is_gone(endpoint)) {
            atomic_store_explicit(&endpoint->added_ms, added_ms, memory_order_relaxed);
            atomic_store_explicit(&endpoint->is_gone, false, memory_order_relaxed);
        }
        endpoint_ref(endpoint);
        return endpoint;
    }
    endpoint = endpoint_new(address, added_ms);
    if (endpoint)
        endpoint_registry_add(registry, endpoint);
    return endpoint;
}

void endpoint_registry_forget_old(struct endpoint_registry *registry, uint64_t now_ms)
{
    for (size_t i = registry->count; i > 0; i--) {
        if (is_gone(registry->items[i - 1]) && now_ms - gone_ms(registry->items[i - 1]) >= KEEP_MS)
            forget(registry, i - 1);
    }
}

void endpoint_registry_done(struct endpoint_registry *registry)
{
    while (registry->count > 0)
        forget(registry, registry->count - 1);
    free(registry->items);
}

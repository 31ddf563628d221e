#include "proxy/upstream/endpoint.h"

#include <stdlib.h>
#include <string.h>

uint64_t endpoint_hash_bytes(const void *bytes, size_t length)
{
    uint64_t hash = 14695981039346656037ULL;

    for (size_t i = 0; i < length; i++)
        hash = (hash ^ ((const uint8_t *)bytes)[i]) * 1099511628211ULL;
    return hash;
}

struct endpoint *endpoint_new(const union sockaddr_any *address, uint64_t now_ms)
{
    struct endpoint *endpoint = calloc(1, sizeof *endpoint);
    char text[SOCKADDR_TEXT_SIZE];

    if (!endpoint)
        return NULL;
    atomic_init(&endpoint->references, 1);
    endpoint->address = *address;
    sockaddr_format(&address->any, text);
    endpoint->hash = endpoint_hash_bytes(text, strlen(text));
    atomic_init(&endpoint->added_ms, now_ms);
    return endpoint;
}

void endpoint_ref(struct endpoint *endpoint)
{
    atomic_fetch_add_explicit(&endpoint->references, 1, memory_order_relaxed);
}

void endpoint_unref(struct endpoint *endpoint)
{
    if (endpoint && atomic_fetch_sub_explicit(&endpoint->references, 1, memory_order_acq_rel) == 1)
        free(endpoint);
}

bool endpoint_is_healthy(const struct endpoint *endpoint)
{
    return outlier_is_closed(&endpoint->outlier) && !atomic_load_explicit(&endpoint->is_down, memory_order_relaxed) &&
           !endpoint_is_disabled(endpoint);
}

bool endpoint_is_disabled(const struct endpoint *endpoint)
{
    return atomic_load_explicit(&endpoint->is_disabled, memory_order_relaxed);
}

const char *endpoint_health_name(const struct endpoint *endpoint)
{
    if (endpoint_is_disabled(endpoint))
        return "disabled";
    if (atomic_load_explicit(&endpoint->is_down, memory_order_relaxed))
        return "unhealthy";
    switch (outlier_state(&endpoint->outlier)) {
    case OUTLIER_OPEN:
        return "ejected";
    case OUTLIER_HALF_OPEN:
        return "trial";
    case OUTLIER_CLOSED:
        break;
    }
    return "healthy";
}

const char *endpoint_tls_name(const struct endpoint *endpoint)
{
    if (atomic_load_explicit(&endpoint->speaks_mesh, memory_order_relaxed))
        return "mutual";
    return atomic_load_explicit(&endpoint->plaintext_until_ms, memory_order_relaxed) > 0 ? "plaintext" : "unknown";
}

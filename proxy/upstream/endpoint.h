/*
 * One address that a cluster's connections go to, with what is known of it. It outlives the sets that it is in, so that
 * its health and its connections do not depend on discovery.
 *
 * Owner: whoever holds a reference. Thread: any; the counts are atomic, the rest does not change.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/sockaddr.h"
#include "proxy/upstream/outlier.h"

struct endpoint {
    atomic_uint references;
    union sockaddr_any address;
    uint64_t hash;                 /* of the address */
    atomic_uint_fast64_t added_ms; /* when it came: slow start counts from here; 0: it has none */
    atomic_uint active;
    atomic_ulong connects; /* attempts that succeeded */
    atomic_ulong connect_failures;
    atomic_bool is_down;          /* by active health checks */
    atomic_bool is_disabled;      /* ejected by command, until it is restored */
    atomic_bool is_gone;          /* discovery does not find it any more */
    atomic_uint_fast64_t lost_ms; /* since when either is so */
    atomic_bool speaks_mesh;      /* it has proven an identity once: nothing else is spoken with it any more */
    atomic_uint_fast64_t plaintext_until_ms; /* tls.mode auto: it did not know the mesh protocol; 0: not known */
    struct outlier outlier;
};

/* Neither disabled nor down nor ejected nor on trial. */
bool endpoint_is_healthy(const struct endpoint *endpoint);

bool endpoint_is_disabled(const struct endpoint *endpoint);

/* One reference. NULL without memory. */
struct endpoint *endpoint_new(const union sockaddr_any *address, uint64_t now_ms);
void endpoint_ref(struct endpoint *endpoint);
void endpoint_unref(struct endpoint *endpoint);

/* "healthy", "disabled" (by command), "unhealthy" (by health checks), "ejected" or "trial", for people and metrics;
 * stable names. */
const char *endpoint_health_name(const struct endpoint *endpoint);

/* "mutual", "plaintext" or "unknown": what was found of it where tls.mode asks for it; stable names. */
const char *endpoint_tls_name(const struct endpoint *endpoint);

/* FNV-1a. Pure. */
uint64_t endpoint_hash_bytes(const void *bytes, size_t length);

/*
 * What is counted. Each worker counts for itself, with plain stores, for each cluster and direction (struct
 * cluster_shard); whoever reads adds the workers up. So counting costs no atomic read-modify-write and shares no cache
 * line.
 *
 * Thread: written by the owning worker, read by any.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "proxy/observe/end_reason.h"
#include "proxy/observe/histogram.h"
#include "proxy/policy/faults.h"

/* Where a connection came in. */
enum direction { DIRECTION_OUTBOUND, DIRECTION_INBOUND, DIRECTION_LISTENER, DIRECTION_COUNT };

/* Why an attempt failed. X(constant, metric label) */
#define CONNECT_CAUSES(X)                       \
    X(REFUSED, "refused")                       \
    X(TIMEOUT, "timeout")                       \
    X(UNREACHABLE, "unreachable")               \
    X(RESET_BEFORE_REPLY, "reset_before_reply") \
    X(FIRST_BYTE_TIMEOUT, "first_byte_timeout") \
    X(TLS, "tls")                               \
    X(DENIED, "denied")                         \
    X(NO_DESCRIPTORS, "no_descriptors")         \
    X(OTHER, "other")

enum connect_cause {
#define X(constant, label) CONNECT_CAUSE_##constant,
    CONNECT_CAUSES(X)
#undef X
        CONNECT_CAUSE_COUNT
};

struct counters {
    uint64_t opened;
    uint64_t ended[END_REASON_COUNT];
    uint64_t bytes_to_upstream, bytes_to_client; /* read from the other side */
    uint64_t retries;                            /* with hedges */
    uint64_t hedges;
    uint64_t connect_failures[CONNECT_CAUSE_COUNT];
    uint64_t faults[FAULT_KIND_COUNT]; /* injected */
    struct histogram connect;          /* attempts that succeeded, TLS and the sidecar's status with them */
    struct histogram first_byte;       /* from connected until the upstream sent something */
    struct histogram duration;         /* whole connections */
};

const char *direction_name(enum direction direction);
const char *connect_cause_name(enum connect_cause cause);

static inline void counter_add(uint64_t *counter, uint64_t count)
{
    __atomic_store_n(counter, *counter + count, __ATOMIC_RELAXED);
}

static inline uint64_t counter_read(const uint64_t *counter)
{
    return __atomic_load_n(counter, __ATOMIC_RELAXED);
}

/* Adds numbers, `bytes` of them, to `sum`, which belongs to the caller. */
void counters_add(uint64_t *sum, const uint64_t *from, size_t bytes);

/* Adds what `from` holds to `sum`, which belongs to the caller. */
void counters_sum(struct counters *sum, const struct counters *from);

uint64_t counters_ended(const struct counters *counters);

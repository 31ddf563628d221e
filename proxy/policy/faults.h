/*
 * Faults that are injected on purpose: what is drawn for a connection, and the pace of one whose bandwidth is limited.
 * They hit the client, as a bad network would; no endpoint is blamed for them.
 */
#pragma once

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/random.h"
#include "base/strbuf.h"
#include "proxy/config/model.h"

/* X(constant, name): metric label, and key of `faults` */
#define FAULTS(X)       \
    X(DELAY, "delay")   \
    X(REFUSE, "refuse") \
    X(RESET, "reset")   \
    X(BANDWIDTH, "bandwidth")

enum fault_kind {
#define X(constant, name) FAULT_##constant,
    FAULTS(X)
#undef X
        FAULT_KIND_COUNT
};

const char *fault_kind_name(enum fault_kind kind);

/* A cluster's, for all workers: the configured ones, or those that were set while it runs. Any thread. */
struct faults {
    pthread_mutex_t mutex; /* of in_force */
    struct faults_config in_force;
    atomic_bool is_on; /* something may be injected; without it nothing else is looked at */
};

void faults_init(struct faults *faults, const struct faults_config *configured);
void faults_done(struct faults *faults);

/* From now on these, copied, for connections that begin. */
void faults_set(struct faults *faults, const struct faults_config *config);

static inline bool faults_are_on(const struct faults *faults)
{
    return atomic_load_explicit(&faults->is_on, memory_order_relaxed);
}

/* Appends them in the words of `outriggerctl fault set`, "none" for none. */
void faults_append_text(struct faults *faults, struct strbuf *text);

/* What one connection gets. */
struct fault_plan {
    bool kinds[FAULT_KIND_COUNT];
    uint64_t delay_ms;         /* with FAULT_DELAY */
    uint64_t reset_after;      /* with FAULT_RESET: bytes of both directions together */
    uint64_t bytes_per_second; /* with FAULT_BANDWIDTH: in each direction */
};

void faults_draw(struct faults *faults, struct random *random, struct fault_plan *ret_plan);

/* A bucket that fills with the rate and holds a twentieth of a second, one byte at least. Pure. */
struct fault_pace {
    uint64_t bytes_per_second;
    uint64_t credit; /* in thousandths of a byte */
    uint64_t at_ms;
};

void fault_pace_init(struct fault_pace *pace, uint64_t bytes_per_second, uint64_t now_ms);

/* How many bytes may pass now. */
size_t fault_pace_allowance(struct fault_pace *pace, uint64_t now_ms);
void fault_pace_take(struct fault_pace *pace, size_t bytes);

/* When the bucket is full again, for one whose allowance is used up. */
uint64_t fault_pace_wait_ms(const struct fault_pace *pace);

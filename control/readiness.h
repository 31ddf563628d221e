/*
 * Whether the proxy may be used, and if not, which named blockers are left. Ready means: none.
 * Thread: the main thread's.
 */
#pragma once

#include <stdbool.h>

#include "base/strbuf.h"

/* X(constant, name) */
#define READINESS_BLOCKERS(X)         \
    X(CONFIGURATION, "configuration") \
    X(LISTENERS, "listeners")         \
    X(INTERCEPTION, "interception")   \
    X(CERTIFICATES, "certificates")   \
    X(ENDPOINTS, "endpoints")         \
    X(DRAINING, "draining")

enum readiness_blocker {
#define X(constant, name) READINESS_##constant,
    READINESS_BLOCKERS(X)
#undef X
        READINESS_BLOCKER_COUNT
};

struct readiness {
    unsigned blockers; /* a bit each */
};

static inline void readiness_block(struct readiness *readiness, enum readiness_blocker blocker)
{
    readiness->blockers |= 1u << blocker;
}

static inline void readiness_unblock(struct readiness *readiness, enum readiness_blocker blocker)
{
    readiness->blockers &= ~(1u << blocker);
}

static inline bool readiness_is_ready(const struct readiness *readiness)
{
    return readiness->blockers == 0;
}

/* Appends the names with commas between, and `quote` before and behind each. */
void readiness_append_blockers(const struct readiness *readiness, const char *quote, struct strbuf *text);

/*
 * starting → ready → draining → stopped, and when each begins; draining may be taken back. Draining: not ready at once;
 * inbound accepts end after drain.delay; with an exit to follow, the process ends when the last connection has ended
 * and drain.minimum has passed, or at drain.timeout.
 *
 * Thread: the main thread's.
 */
#pragma once

#include <event2/event_struct.h>
#include <stdbool.h>
#include <stdint.h>

#include "control/readiness.h"
#include "proxy/config/model.h"

/* X(constant, name) */
#define LIFECYCLE_STATES(X) \
    X(STARTING, "starting") \
    X(READY, "ready")       \
    X(DRAINING, "draining") \
    X(STOPPED, "stopped")

enum lifecycle_state {
#define X(constant, name) LIFECYCLE_##constant,
    LIFECYCLE_STATES(X)
#undef X
        LIFECYCLE_STATE_COUNT
};

/* What the lifecycle asks of the process. */
struct lifecycle_actions {
    void (*stop_inbound)(void *owner);
    int (*resume_inbound)(void *owner);      /* 0 or a negative errno */
    bool (*inbound_is_stopped)(void *owner); /* every worker has done so */
    unsigned (*count_connections)(void *owner);
    void (*exit)(void *owner);
};

struct lifecycle {
    enum lifecycle_state state;
    struct readiness readiness;
    const struct drain_config *drain;
    struct lifecycle_actions actions;
    void *owner;
    uint64_t drain_started_ms, exit_started_ms; /* minimum and timeout count from the second */
    bool inbound_stopped;
    bool exits;                              /* draining ends with the process */
    bool is_taken_over;                      /* another process has the listeners */
    uint64_t timeout_ms;                     /* of the exit */
    double entered_s[LIFECYCLE_STATE_COUNT]; /* since the epoch; 0: not yet */
};

void lifecycle_init(struct lifecycle *lifecycle, const struct drain_config *drain,
                    const struct lifecycle_actions *actions, void *owner);

/* A blocker is gone. With the last one the state is ready. */
void lifecycle_unblock(struct lifecycle *lifecycle, enum readiness_blocker blocker);

/* Begins to drain; does nothing when it drains already. */
void lifecycle_drain(struct lifecycle *lifecycle, uint64_t now_ms);

/*
 * Takes draining back. Returns 0, -EALREADY when it does not drain, -EBUSY when the process is going to end, or what
 * resume_inbound() returned; then it goes on draining.
 */
int lifecycle_undrain(struct lifecycle *lifecycle);

/* Drains, then exits. Asked again, it exits at once. */
void lifecycle_quit(struct lifecycle *lifecycle, uint64_t now_ms);

/* Another process has taken over: what is accepted already goes on for up to `timeout_ms`, then the process exits. */
void lifecycle_be_taken_over(struct lifecycle *lifecycle, uint64_t timeout_ms, uint64_t now_ms);

/* Does what is due. To be called often while draining. */
void lifecycle_run(struct lifecycle *lifecycle, uint64_t now_ms);

const char *lifecycle_state_name(enum lifecycle_state state);

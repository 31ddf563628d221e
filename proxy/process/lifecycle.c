#include "proxy/process/lifecycle.h"

#include <errno.h>

#include "base/clock.h"
#include "base/log.h"

static const char *const state_names[] = {
#define X(constant, name) [LIFECYCLE_##constant] = name,
    LIFECYCLE_STATES(X)
#undef X
};

const char *lifecycle_state_name(enum lifecycle_state state)
{
    return state_names[state];
}

static void enter(struct lifecycle *lifecycle, enum lifecycle_state state)
{
    lifecycle->state = state;
    lifecycle->entered_s[state] = clock_wall_seconds();
    log_info("state: %s", state_names[state]);
}

void lifecycle_init(struct lifecycle *lifecycle, const struct drain_config *drain,
                    const struct lifecycle_actions *actions, void *owner)
{
    *lifecycle = (struct lifecycle){ .drain = drain, .actions = *actions, .owner = owner };
    readiness_block(&lifecycle->readiness, READINESS_CONFIGURATION);
    readiness_block(&lifecycle->readiness, READINESS_LISTENERS);
    readiness_block(&lifecycle->readiness, READINESS_INTERCEPTION);
    readiness_block(&lifecycle->readiness, READINESS_CERTIFICATES);
    readiness_block(&lifecycle->readiness, READINESS_ENDPOINTS);
    enter(lifecycle, LIFECYCLE_STARTING);
}

void lifecycle_unblock(struct lifecycle *lifecycle, enum readiness_blocker blocker)
{
    readiness_unblock(&lifecycle->readiness, blocker);
    if (lifecycle->state == LIFECYCLE_STARTING && readiness_is_ready(&lifecycle->readiness))
        enter(lifecycle, LIFECYCLE_READY);
}

static void stop(struct lifecycle *lifecycle)
{
    enter(lifecycle, LIFECYCLE_STOPPED);
    lifecycle->actions.exit(lifecycle->owner);
}

void lifecycle_drain(struct lifecycle *lifecycle, uint64_t now_ms)
{
    if (lifecycle->state == LIFECYCLE_DRAINING || lifecycle->state == LIFECYCLE_STOPPED)
        return;
    readiness_block(&lifecycle->readiness, READINESS_DRAINING);
    lifecycle->drain_started_ms = now_ms;
    enter(lifecycle, LIFECYCLE_DRAINING);
    lifecycle_run(lifecycle, now_ms);
}

int lifecycle_undrain(struct lifecycle *lifecycle)
{
    int r = 0;

    if (lifecycle->state != LIFECYCLE_DRAINING)
        return lifecycle->state == LIFECYCLE_STOPPED ? -EBUSY : -EALREADY;
    if (lifecycle->exits)
        return -EBUSY;
    if (lifecycle->inbound_stopped) {
        lifecycle->inbound_stopped = false;
        r = lifecycle->actions.resume_inbound(lifecycle->owner);
    }
    if (r < 0) {
        lifecycle->inbound_stopped = true;
        return r;
    }
    readiness_unblock(&lifecycle->readiness, READINESS_DRAINING);
    lifecycle->entered_s[LIFECYCLE_DRAINING] = 0;
    enter(lifecycle, readiness_is_ready(&lifecycle->readiness) ? LIFECYCLE_READY : LIFECYCLE_STARTING);
    return 0;
}

void lifecycle_quit(struct lifecycle *lifecycle, uint64_t now_ms)
{
    if (lifecycle->state == LIFECYCLE_STOPPED)
        return;
    if (lifecycle->exits && !lifecycle->is_taken_over) {
        stop(lifecycle);
        return;
    }
    lifecycle->is_taken_over = false; /* asked once, what is left has its usual time to end */
    lifecycle->exits = true;
    lifecycle->exit_started_ms = now_ms;
    lifecycle->timeout_ms = lifecycle->drain->timeout_ms;
    lifecycle_drain(lifecycle, now_ms);
}

void lifecycle_be_taken_over(struct lifecycle *lifecycle, uint64_t timeout_ms, uint64_t now_ms)
{
    readiness_block(&lifecycle->readiness, READINESS_DRAINING);
    lifecycle->drain_started_ms = now_ms;
    lifecycle->inbound_stopped = true;
    lifecycle->is_taken_over = true;
    lifecycle->exits = true;
    lifecycle->exit_started_ms = now_ms;
    lifecycle->timeout_ms = timeout_ms;
    enter(lifecycle, LIFECYCLE_DRAINING);
}

void lifecycle_run(struct lifecycle *lifecycle, uint64_t now_ms)
{
    const struct drain_config *drain = lifecycle->drain;
    uint64_t passed_ms;
    unsigned left;

    if (lifecycle->state != LIFECYCLE_DRAINING)
        return;
    if (!lifecycle->inbound_stopped) {
        if (now_ms - lifecycle->drain_started_ms < drain->delay_ms)
            return;
        lifecycle->inbound_stopped = true;
        lifecycle->actions.stop_inbound(lifecycle->owner);
        return;
    }
    if (!lifecycle->exits)
        return;
    passed_ms = now_ms - lifecycle->exit_started_ms;
    left = lifecycle->actions.count_connections(lifecycle->owner);
    if (left == 0 && lifecycle->actions.inbound_is_stopped(lifecycle->owner) &&
        (lifecycle->is_taken_over || passed_ms >= drain->minimum_ms))
        stop(lifecycle);
    else if (passed_ms >= lifecycle->timeout_ms) {
        log_warning("%s is over: %u connections are reset",
                    lifecycle->is_taken_over ? "takeover.timeout" : "drain.timeout", left);
        stop(lifecycle);
    }
}

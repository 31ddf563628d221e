/*
 * Passive health of one endpoint, told by the outcomes of its connections:
 *
 *            failures in a row reach the limit, and the cluster allows another ejection
 *   CLOSED ───────────────────────────────────────────────▶ OPEN
 *     ▲                                                    │   ▲
 *     │ the trial succeeds                  time is up: one │   │ the trial fails: longer
 *     │                                     connection is   │   │
 *     │                                     the trial       ▼   │
 *     └──────────────────────────────────────────────── HALF_OPEN
 *
 * (Envoy's outlier detection by consecutive failures, with the half-open state of a circuit breaker.)
 *
 * Thread: any. An all-zero struct is CLOSED.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/random.h"
#include "proxy/config/model.h"

enum outlier_state { OUTLIER_CLOSED, OUTLIER_OPEN, OUTLIER_HALF_OPEN };

struct outlier {
    _Atomic enum outlier_state state;
    atomic_uint failures;            /* in a row, while CLOSED */
    atomic_uint ejections;           /* the exponent n of the next ejection's time; goes down with success */
    atomic_uint_fast64_t until_ms;   /* OPEN: until then; HALF_OPEN: until the trial counts as lost */
    atomic_uint_fast64_t renewed_ms; /* n goes down at the earliest base_ejection after this */
    atomic_ulong ejected;            /* how often, in all */
};

enum outlier_state outlier_state(const struct outlier *outlier);

/* Whether a connection may go there without being a trial. */
bool outlier_is_closed(const struct outlier *outlier);

/*
 * Time is up (or an earlier trial was lost): the caller's connection becomes the trial. Returns its token, which one
 * caller alone gets, whoever asks at the same moment; 0 for the others.
 */
uint64_t outlier_take_trial(struct outlier *outlier, const struct outlier_config *config, uint64_t now_ms);

/* Whether `trial` is the token of the trial that decides now. */
bool outlier_is_current_trial(const struct outlier *outlier, uint64_t trial);

/* A failure that counts. Returns whether the limit is reached: then the caller ejects, if the cluster's share allows.
 */
bool outlier_count_failure(struct outlier *outlier, const struct outlier_config *config);

/* CLOSED or HALF_OPEN to OPEN, for base × 2^n with up to a tenth more (jitter), at most max_ejection. Returns the time
 * in ms, or 0 when it was open already. */
uint64_t outlier_eject(struct outlier *outlier, const struct outlier_config *config, uint64_t now_ms,
                       struct random *random);

/* A success; n goes down by one. `trial` is its token or 0. Returns whether it was the trial's, which closes it. */
bool outlier_succeed(struct outlier *outlier, const struct outlier_config *config, uint64_t trial, uint64_t now_ms);

/* Forgets everything: CLOSED. */
void outlier_reset(struct outlier *outlier);

/* The trial ended without telling anything (its client went away): another may be made at once. */
void outlier_abandon_trial(struct outlier *outlier, uint64_t trial, uint64_t now_ms);

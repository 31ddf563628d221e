/* The endpoints of a connection's attempts: which one next, which were tried, and what came of each. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "proxy/observe/counters.h"

struct attempt_target;
struct cluster;
struct conn;
struct tried;

enum attempt_choice {
    ATTEMPT_CHOSEN,    /* the target is set, or the cluster has only the original destination */
    ATTEMPT_ALL_TRIED, /* every endpoint that may be used failed in this round; the next choice begins another */
    ATTEMPT_NONE,      /* there is no endpoint */
};

/* Of the connection's next attempt: conn->target. */
enum attempt_choice attempt_choose(struct conn *conn, uint64_t now_ms);

/* Of a second attempt beside the one at conn->target: another endpoint. */
enum attempt_choice attempt_choose_beside(struct conn *conn, struct attempt_target *ret_target, uint64_t now_ms);

/* The upstream has sent something, or ended in order. */
void attempt_succeeded(struct conn *conn, uint64_t now_ms);

/*
 * The attempt at `target`, conn->target or one beside it, failed: counts against the endpoint where
 * outlier_detection.on says so, and it is not chosen again in this round.
 */
void attempt_failed(struct conn *conn, struct attempt_target *target, enum connect_cause cause, int error,
                    uint64_t now_ms);

/* Whether a failure to connect is one of the endpoint, and counts against it. */
bool attempt_counts_connect(const struct cluster *cluster, const struct attempt_target *target,
                            enum connect_cause cause, int error);

/* The endpoint was cut off or silent before its first byte, and there is no other attempt: counts as above, but the
 * target stays. */
void attempt_was_cut(struct conn *conn, enum connect_cause cause, uint64_t now_ms);

/* The connection ends, or the attempt is given up: nothing is told of the endpoint but what was told already. */
void attempt_end(struct conn *conn, uint64_t now_ms);
void attempt_forget_tried(struct conn *conn);

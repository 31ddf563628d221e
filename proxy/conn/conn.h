/*
 * A connection: its client, its upstream and the two directions between them.
 *
 * Owner: its worker, from conn_accept() to the end of the loop turn after conn_end(). Thread: the worker's, always.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "base/sockaddr.h"
#include "proxy/conn/account.h"
#include "proxy/conn/conn_state.h"
#include "proxy/conn/pump.h"
#include "proxy/net/transport.h"
#include "proxy/observe/counters.h"
#include "proxy/observe/end_reason.h"
#include "proxy/upstream/cluster.h"
#include "proxy/worker/timers.h"

struct mail;
struct snapshot;
struct worker;

/* How far a direction has come. */
enum flow {
    FLOW_OPEN,
    FLOW_ENDING, /* its source has finished; the sink is told once the queue is empty */
    FLOW_ENDED,  /* the sink was told (FIN), or the direction was cut off */
};

struct side {
    struct transport transport;
    struct carrier *ended; /* its carrier, once the transport was closed before the connection ends: tells who it was */
    uint64_t owed_since_ms; /* since when its peer has owed an acknowledgement, as the dead-peer check saw it; 0: not */
    bool announced;         /* the upstream: by a PROXY header, or there is none; see announce.h */
    bool written;           /* something was written since the dead-peer check last found everything acknowledged */
};

struct conn_direction {
    struct pump pump;
    enum flow flow;
};

struct conn {
    struct list_node in_worker;
    struct worker *worker;
    enum conn_state state;
    enum direction direction;
    struct snapshot *snapshot;    /* the configuration; one that is not its worker's has the connection as a user */
    struct cluster *cluster;      /* of the snapshot; whose policies apply */
    struct attempt_target target; /* the current attempt's */
    struct tried *tried;          /* endpoints that failed in this round; NULL: none. See attempt.h */
    struct hedge *hedge;          /* an attempt beside the current one; NULL: none. See hedge.h */
    struct fault *fault;          /* injected; NULL: none. See fault.h */
    struct announcement *announcement; /* by a PROXY header; NULL: none. See announce.h */
    struct pending *pending;           /* PENDING: its place in the cluster's queue */
    struct counters *counters;         /* of cluster and direction; NULL while NEW */
    struct side client, upstream;
    struct conn_direction to_upstream, to_client;
    struct timer timer;
    struct account account;
    union inet_address peer;     /* of the client's socket; who the client is: announce_client() */
    union inet_address original; /* where the client was going; AF_UNSPEC on plain listeners */
    bool transparent;            /* its socket has the original destination's address: the app gets the client's */
    uint16_t client_slot;        /* of its client's port; see transparent.h */
    uint64_t started_ms;
    uint64_t last_byte_ms; /* when a byte last passed, or the state changed */
    uint64_t connected_ms; /* AWAITING_REPLY: since when */
    uint64_t ends_ms;      /* by timeouts.max_duration; 0: never */
    unsigned turn, attempt;
    uint8_t rounds;              /* how often every endpoint was tried; each ends in BACKOFF */
    struct side *survivor;       /* CUTTING: the side that was not cut */
    unsigned cut_unacknowledged; /* CUTTING: what the survivor had not acknowledged when last looked at */
    enum end_reason ends_for;    /* CUTTING, REFUSING: the reason that it ends with */
    bool is_undecided;           /* whether its client is a sidecar is not known yet, and may be either; see detect.h */
    bool holds_limit, holds_source, holds_port, holds_port_source; /* places of its client; see admission.h */
    bool holds_cluster, holds_retry, holds_handshake, settled;
};

/*
 * Takes over an accepted socket, which worker->active counts already. Whatever happens to it, it ends in conn_end().
 * `accepted` is borrowed; its snapshot may be another than the worker's when another worker has accepted.
 * Returns 0, or -ENOMEM when not even the connection's own memory was there; then the socket is closed.
 */
int conn_accept(struct worker *worker, const struct mail *accepted, uint64_t now_ms);

/* Moves to a legal successor. */
void conn_move(struct conn *conn, enum conn_state state);

/* Ends it: closes both sides as the reason says, gives everything back, counts, logs. The memory lasts for this turn.
 */
void conn_end(struct conn *conn, enum end_reason reason);

/* The same where the upstream cannot be reached: a client that may be a sidecar is told why first. */
void conn_refuse(struct conn *conn, enum end_reason reason);

/* Its destination is known: counts it as opened there. */
void conn_enter_cluster(struct conn *conn, struct cluster *cluster);

const char *conn_state_name(enum conn_state state);

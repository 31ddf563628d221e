/*
 * A worker: a thread with its own event loop, listening sockets, connections, timers, scratch buffer and counters.
 * Everything in here belongs to its thread, but for what is marked shared.
 */
#pragma once

#include <event2/event_struct.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/list.h"
#include "base/random.h"
#include "proxy/conn/pump.h"
#include "proxy/observe/connections.h"
#include "proxy/observe/counters.h"
#include "proxy/observe/identity_status.h"
#include "proxy/policy/limits.h"
#include "proxy/tls/carrier.h"
#include "proxy/tls/credential_slot.h"
#include "proxy/worker/mailbox.h"
#include "proxy/worker/snapshot.h"
#include "proxy/worker/timers.h"

/* What the workers have in common. Set up before they start; unchanged afterwards but for its atomics. */
struct worker_shared {
    _Atomic(struct snapshot *) snapshot; /* the one in force */
    struct limits limits;
    struct buffer_memory buffer_memory;
    struct transparent_ports *transparent_ports; /* in mode tproxy, else NULL */
    struct listing *listing;                     /* see listing.h */
    struct credential_slot credentials;
    struct access_log *access_log;
    struct trace *trace; /* see there */
    struct worker *workers;
    unsigned count;
};

struct worker {
    unsigned index;
    struct worker_shared *shared;
    struct snapshot *snapshot; /* the one that it has adopted; it is one of its users */
    atomic_ulong adopted;      /* shared: its serial */
    pthread_t thread;
    bool started;
    struct event_base *base;
    struct timers timers;
    struct pump_means means;
    struct carrier_means carriers;        /* empty until there are credentials */
    struct credentials *credentials;      /* a reference; NULL: none */
    struct handshake_counters handshakes; /* shared, see there */
    struct router_view routes;
    struct random random;
    struct mailbox mailbox; /* shared */
    struct event mail_event, heartbeat_event, graves_event;
    struct list_node connections;
    struct list_node strays;     /* attempts that lost; see stray.h */
    struct list_node graves;     /* ended in this turn */
    atomic_uint active;          /* shared: connections, for handing over */
    atomic_bool inbound_stopped; /* shared: its inbound and plain listeners are closed */
    atomic_ulong alive_ms;       /* shared: when the loop last turned */
    struct histogram lag;        /* shared, see there: by how much the heartbeat was late */
    struct timer spread_timer;
    uint64_t spread_ends_ms; /* while it is armed: when the last one ends */
    struct timer rate_timer; /* armed: accepting rests for limits.accept_rate, but on the outbound port */
    size_t rate_turn;        /* the listener whose turn it is afterwards */
    struct timer accept_timer;
    uint64_t accept_pause_ms;   /* the last pause; 0: accepting works */
    uint64_t last_id;           /* of its connections */
    struct endings endings;     /* not meant, the last ones */
    struct event account_event; /* access_log.interval */
    unsigned account_part;
    unsigned long famine_logged_ms, rate_logged_ms;
    unsigned long failure_logged_ms, tls_logged_ms;
};

/* Returns 0 or a negative errno. Main thread. */
int worker_init(struct worker *worker, unsigned index, struct worker_shared *shared);
void worker_done(struct worker *worker);

/* Returns 0 or a negative errno. It accepts nothing before it is told to adopt a snapshot. */
int worker_start(struct worker *worker);

/* Changes over to shared->snapshot, soon: worker->adopted tells when. */
void worker_adopt(struct worker *worker);

/* Asks the worker to end; connections that are left are ended with drain_timeout. All are asked before any is waited
 * for. */
void worker_ask_to_stop(struct worker *worker);
void worker_wait_for_stop(struct worker *worker);

/* Inbound and plain listeners: takes what waits in their backlogs, then closes them. */
void worker_stop_inbound(struct worker *worker);

/* Closes its listening sockets, which another process has too: what waits in their backlogs is that one's. */
void worker_let_go_of_listeners(struct worker *worker);

/* Takes what is in shared->credentials, soon; ends connections whose peers they say are revoked. */
void worker_take_credentials(struct worker *worker);

/* Fills in its part of shared->listing, soon. */
void worker_list(struct worker *worker);

/* Begins to end inbound and plain listeners' connections over drain.spread; and stops that. */
void worker_spread_ends(struct worker *worker);
void worker_stop_spread(struct worker *worker);

/* Ends connections whose endpoint is down or gone, where close_on_unhealthy or close_on_removal says so. Any thread. */
void worker_close_lost(struct worker *worker);

/* Frees `node` (the conn's) at the end of this turn. */
void worker_bury(struct worker *worker, struct list_node *node);

/* The descriptors are used up: accepting pauses, longer each time. */
void worker_pause_accepting(struct worker *worker, int error);

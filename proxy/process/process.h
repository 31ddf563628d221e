/*
 * The running proxy: everything that there is once of. Set up by process_start(), driven by the main thread's loop.
 * Thread: the main thread's, but for what struct worker_shared marks.
 */
#pragma once

#include <event2/event_struct.h>

#include "control/http_server.h"
#include "control/readiness.h"
#include "control/server.h"
#include "proxy/config/config.h"
#include "proxy/observe/trace.h"
#include "proxy/probe/app_probe.h"
#include "proxy/process/identity.h"
#include "proxy/process/lifecycle.h"
#include "proxy/process/reload.h"
#include "proxy/upstream/dns.h"
#include "proxy/upstream/health_probe.h"
#include "proxy/worker/listing.h"
#include "proxy/worker/worker.h"

#define MOST_CONTROL_SOCKETS 5 /* control; health and admin, each for IPv4 and IPv6 */

/* One that can be handed to another process. */
struct control_socket {
    const char *kind; /* see takeover_take() */
    char address[SOCKADDR_TEXT_SIZE];
    int fd; /* its server's */
};

struct process {
    struct event_base *base;
    struct worker_shared shared;
    unsigned workers_ready; /* how many of shared.workers are initialised */
    struct cluster_registry clusters;
    struct list_node snapshots; /* the one in force, and older ones that connections stay with */
    struct snapshot *snapshot;  /* the one in force */
    struct upstreams *upstreams;
    struct interception_check *interception_check; /* with intercept.require */
    struct dns_resolver *resolver;                 /* NULL: there have been no names so far */
    struct lifecycle lifecycle;
    struct reload reload;
    struct identity identity;
    struct health_tls health_tls;
    struct listing listing;
    struct trace trace;
    struct event trace_forgotten;
    struct control_server_config commands;
    struct http_server *control, *health, *admin;
    struct app_prober *prober;
    struct control_socket control_sockets[MOST_CONTROL_SOCKETS];
    unsigned control_socket_count;
    struct takeover *takeover;   /* while it takes over from another process */
    uint64_t taker;              /* the client that was last given the sockets; 0: none */
    unsigned long taker_serial;  /* of the snapshot that had them */
    struct event lifecycle_tick; /* while draining */
    struct event signals[4];
    unsigned signal_count;
    uint64_t started_ms;
    char *control_path;      /* once it is ours */
    bool looks_at_endpoints; /* readiness waits for those of required clusters */
};

/* What to run. */
struct process_task {
    struct config *config;     /* the process takes it over */
    struct config_files files; /* where it came from, for reloads */
    struct file_identity seen; /* the file, as it was before it was loaded */
    const char *takeover_path; /* the control socket of a process to take over from; NULL: none */
};

/*
 * Runs the proxy until it is told to end. Returns the exit code: 0 after an orderly end, 1 when it could not start;
 * that was logged.
 */
int process_run(const struct process_task *task);

/* Ends connections whose endpoint is down or gone, where the configuration says so. */
void process_close_lost(struct process *process);

/* Begins to drain; or drains, then ends. */
void process_drain(struct process *process);
void process_quit(struct process *process);

/* Lets go of every listening socket, and ends with the last connection or after takeover.timeout. */
void process_be_taken_over(struct process *process);

/* Takes draining back; see lifecycle_undrain(). When it returns 0 everything is accepted again. */
int process_undrain(struct process *process);

/*
 * Waits until something is true that the workers do within a turn of their loops; at most a second, since control and
 * health checks wait meanwhile. Returns whether it is.
 */
bool process_await(const struct process *process, bool (*is_true)(const struct process *process));

/* Connections that are open now, over all workers. */
unsigned process_active_connections(const struct process *process);

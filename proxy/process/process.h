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
#include "proxy/process/lifecycle.h"
#include "proxy/upstream/discovery.h"
#include "proxy/upstream/health_check.h"
#include "proxy/upstream/match_hosts.h"
#include "proxy/worker/worker.h"

struct process {
    struct config *config;
    struct event_base *base;
    struct worker_shared shared;
    unsigned workers_ready; /* how many of shared.workers are initialised */
    struct lifecycle lifecycle;
    struct control_server_config commands;
    struct http_server *control, *health;
    struct health_checker *health_checker;
    struct dns_resolver *resolver; /* NULL: there are no names, and neither of the next two */
    struct discoverer *discovery;
    struct match_hosts *match_hosts;
    struct event lifecycle_tick; /* while draining */
    struct event signals[3];
    unsigned signal_count;
    uint64_t started_ms;
    bool owns_control_path;
    bool looks_at_endpoints; /* readiness waits for those of required clusters */
};

/*
 * Runs the proxy with `config`, which it takes over, until it is told to end.
 * Returns the exit code: 0 after an orderly end, 1 when it could not start; that was logged.
 */
int process_run(struct config *config);

/* Begins to drain; or drains, then ends. */
void process_drain(struct process *process);
void process_quit(struct process *process);

/* Connections that are open now, over all workers. */
unsigned process_active_connections(const struct process *process);

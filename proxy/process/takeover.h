/*
 * A new process takes over from an old one, without a moment in which nobody listens: it is given every listening
 * socket (SCM_RIGHTS over the old one's control socket), gets ready without accepting anything, and then tells the old
 * one, which lets go of the sockets and ends with its last connection. What waits in a backlog waits for the new one.
 * Whatever fails before that leaves the old process as it was.
 *
 *   new                                              old
 *   POST /takeover                           ──▶
 *                                            ◀──     103 with descriptors, 200 and what they are
 *   (listeners, clusters, workers)
 *   POST /takeover/done, same connection     ──▶     closes its copies, drains for takeover.timeout
 *                                            ◀──     200
 *   accepts
 *
 * Thread: the main thread's.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/sockaddr.h"
#include "control/http_server.h"

struct process;

/* The sockets that a new process was given and has not used yet. */
struct takeover;

/*
 * Asks the process at the control socket `path`. Blocks, for some seconds at most.
 * ret_takeover  set on success only; release with takeover_free()
 * Returns 0 or a negative errno; what failed was logged.
 */
int takeover_claim(const char *path, struct takeover **ret_takeover);

/* Closes what was not used. NULL is taken. */
void takeover_free(struct takeover *takeover);

/* How many workers the old process has; its listeners have a socket for each. */
unsigned takeover_workers(const struct takeover *takeover);

/*
 * Takes one socket, which is the caller's from now on.
 * kind     "listener", "transparent", "control", "health", "admin"
 * worker   0 but for listeners
 * Returns -1 when there is none, or `takeover` is NULL.
 */
int takeover_take(struct takeover *takeover, const char *kind, const char *address, unsigned worker);

/* Everything is ready: the old process lets go. Returns 0 or a negative errno; what failed was logged. */
int takeover_finish(struct takeover *takeover);

/* The old process's commands. See control_command.run; the owner is the process. */
void takeover_run_offer(void *owner, const struct http_request *request, struct http_response *response);
void takeover_run_done(void *owner, const struct http_request *request, struct http_response *response);

/* From a configuration to open control sockets and running workers. */
#pragma once

struct config;
struct process;

/* How many workers there are, and the memory for them. Returns 0 or -ENOMEM. */
int startup_make_workers(struct process *process, const struct config *config);

/* Raises the limit of descriptors to what is allowed, and derives limits.max_connections from it. */
void startup_set_limits(struct process *process, const struct config *config);

/* Opens the control socket and the health addresses. Returns 0 or a negative errno; what failed was logged. */
int startup_open_control(struct process *process, const struct config *config);

/*
 * With startup_make_workers() done: asks the process at `socket_path` for its sockets, which the functions here and
 * listeners_open() then use. And when everything is ready: it lets go of them. Each returns 0 or a negative errno; what
 * failed was logged, and the old process goes on.
 */
int startup_claim(struct process *process, const struct config *config, const char *socket_path);
int startup_finish_takeover(struct process *process, const struct config *config, const char *socket_path);

/* With the snapshot in force. They accept nothing yet. Returns 0 or a negative errno. */
int startup_start_workers(struct process *process);

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

/* With the snapshot in force. Returns 0 or a negative errno. */
int startup_start_workers(struct process *process);

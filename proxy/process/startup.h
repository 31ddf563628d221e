/* From a configuration to open sockets and running workers. */
#pragma once

struct process;

/* Raises the limit of descriptors to what is allowed, and derives limits.max_connections from it. */
void startup_set_limits(struct process *process);

/* Opens every listening socket, for every worker. Each returns 0 or a negative errno; what failed was logged. */
int startup_open_control(struct process *process);
int startup_start_workers(struct process *process);

/* Afterwards: takes the blocker `endpoints` away, now or once the required clusters are known. */
void startup_await_endpoints(struct process *process);

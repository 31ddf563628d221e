/* How connections come in: accepting, handing over to a less busy worker, pausing when descriptors run out. */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct worker;
struct worker_listener;

void accept_init(struct worker *worker);

/* Listens for connections on all the worker's listeners. Returns 0 or -ENOMEM. */
int accept_begin(struct worker *worker);

/* Takes over a socket that another worker accepted. */
void accept_adopt(struct worker_listener *listener, int fd, uint64_t now_ms);

/* Does nothing when it is closed already. */
void accept_close(struct worker_listener *listener);

/* Inbound and plain listeners: takes what waits in their backlogs, then closes them. */
void accept_stop_inbound(struct worker *worker);

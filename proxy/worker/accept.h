/* How connections come in: accepting, handing over to a less busy worker, pausing when descriptors run out. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "proxy/worker/mailbox.h"

struct listener_socket;
struct worker;

void accept_init(struct worker *worker);

/* Accepts on all the worker's sockets. */
void accept_begin(struct worker *worker);

/* Takes over a socket that another worker accepted. */
void accept_take_over(struct worker *worker, const struct mail *mail, uint64_t now_ms);

/* Takes what waits in its backlog, then closes it. */
void accept_drain(struct listener_socket *socket);

/* Does nothing when it is closed already. */
void accept_close(struct listener_socket *socket);

/* Closes all sockets; another process has them. */
void accept_let_go(struct worker *worker);

/* Inbound and plain listeners: drains them. */
void accept_stop_inbound(struct worker *worker);

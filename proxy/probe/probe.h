/*
 * One probe of the app, as the kubelet would make it: a connection, an HTTP or HTTPS request, or gRPC's health check
 * (https://github.com/grpc/grpc/blob/master/doc/health-checking.md). Redirects are followed as long as they stay at the
 * app's address; one that leads elsewhere is a success.
 *
 * Thread: the one that runs the event base.
 */
#pragma once

#include <event2/event.h>
#include <openssl/types.h>

#include "base/sockaddr.h"
#include "proxy/config/model.h"

struct probe;

/*
 * status  as an HTTP server would answer: 200 when the app is well, the app's own where it answered with 400 or more,
 *         503 for everything else
 * words   why, on one line, or "ok"
 */
typedef void probe_done(void *owner, int status, const char *words);

/* Everything is borrowed while the probe runs. */
struct probe_question {
    const struct probe_config *config;
    union inet_address address; /* of the app, with its port */
    union inet_address source;  /* AF_UNSPEC: any */
    SSL_CTX **tls;              /* of all probes; NULL there: made when it is needed for the first time */
};

/*
 * Begins a probe. `done` is called once, never before this has returned; then it is over and released.
 * Returns 0 or -ENOMEM.
 */
int probe_begin(struct event_base *base, const struct probe_question *question, probe_done *done, void *owner,
                struct probe **ret_probe);

/* Ends it without `done`. NULL is none. */
void probe_cancel(struct probe *probe);

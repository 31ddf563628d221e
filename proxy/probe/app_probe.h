/*
 * The app, asked when somebody asks the health address: one probe of a target at a time, however many ask; those that
 * ask meanwhile get its answer, so that who can reach the health address cannot make the app busy.
 *
 * Thread: the one that runs the event base.
 */
#pragma once

#include <event2/event.h>

#include "base/sockaddr.h"
#include "control/http_server.h"
#include "proxy/config/config.h"

#define APP_PROBES_MOST 64 /* under way at one time */

struct app_prober;

/* Returns 0 or -ENOMEM. */
int app_prober_new(struct event_base *base, struct app_prober **ret_prober);

/* Before the servers whose clients wait: their answer is 503, as far as it still leaves. NULL is none. */
void app_prober_free(struct app_prober *prober);

/*
 * Asks, and answers `request`, which is being answered, when it is known.
 *
 * config   has `probe` among its probes; the prober keeps a reference while it needs it
 * address  of this machine: where the app is reached; the port is the probe's
 * Returns 0, or -EBUSY or -ENOMEM; then the answer is the caller's.
 */
int app_prober_ask(struct app_prober *prober, struct config *config, const struct probe_config *probe,
                   const union inet_address *address, const struct http_request *request);

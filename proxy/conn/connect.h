/* From the destination to a connected upstream: attempts, retries, backoff. */
#pragma once

#include <stdbool.h>

#include "proxy/observe/counters.h"

struct conn;

/* Takes one of the cluster's connections and makes the first attempt. */
void connect_begin(struct conn *conn);

/* Whether a cut before the first byte of the reply may go to another attempt. */
bool connect_may_retry_reset(const struct conn *conn);

/* The connected upstream was cut before it answered: closes it and tries again, or ends the connection. */
void connect_retry_reset(struct conn *conn);

/* The timeout or backoff of the current state is over. */
void connect_on_timer(struct conn *conn);

/* Gives back the cluster's connection and the endpoint's. */
void connect_release(struct conn *conn);

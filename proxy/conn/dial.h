/* Where an attempt goes, and from which address. */
#pragma once

#include <stdbool.h>
#include <sys/socket.h>

#include "base/sockaddr.h"

struct attempt_target;
struct conn;

/* The attempt's endpoint, or the original destination. */
const struct sockaddr *dial_destination(const struct conn *conn, const struct attempt_target *target);

/* Begins to connect there. As dialer_connect(). */
int dial_begin(struct conn *conn, const struct attempt_target *target, int *ret_fd, bool *ret_in_progress);

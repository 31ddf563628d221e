/* Where an attempt goes, and from which address. */
#pragma once

#include <stdbool.h>
#include <sys/socket.h>

#include "base/sockaddr.h"

struct conn;

/* The current attempt's endpoint, or the original destination. */
const struct sockaddr *dial_destination(const struct conn *conn);

/* Begins to connect there. As dialer_connect(). */
int dial_begin(struct conn *conn, int *ret_fd, bool *ret_in_progress);

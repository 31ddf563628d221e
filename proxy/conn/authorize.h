/* The configuration's `authorization`, for connections that interception has brought in. */
#pragma once

#include <stdbool.h>

struct conn;
struct worker;

/* Whether its client may reach the app, by the snapshot that it has. Without rules no system call is made. */
bool authorize_allows(const struct conn *conn);

/* The rules are others: ends the connections that they deny. */
void authorize_again(struct worker *worker);

/* The configuration's `authorization`, for connections that interception has brought in. */
#pragma once

#include <stdbool.h>

struct conn;
struct worker;

/*
 * Whether its client, with the identity that it has proven, may reach the app, by its worker's configuration. Without
 * rules no system call is made.
 */
bool authorize_allows(const struct conn *conn);

/* Whether it might with some identity that it has not proven yet. */
bool authorize_may_allow(const struct conn *conn);

/* The rules are others: ends the connections that they deny. */
void authorize_again(struct worker *worker);

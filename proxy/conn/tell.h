/* Tells whoever watches a connection (observe/trace.h) what it does. Free while nobody does. */
#pragma once

#include "proxy/conn/conn_state.h"
#include "proxy/observe/end_reason.h"

struct conn;

/* It moves to `to`. */
void tell_move(const struct conn *conn, enum conn_state to);

/* It ends. */
void tell_end(const struct conn *conn, enum end_reason reason);

/* An attempt at `destination` failed. */
void tell_failure(const struct conn *conn, const char *destination, const char *what);

/*
 * Inbound connections in mode tproxy: the client's socket has the original destination as its address, and the app is
 * dialled with the client's.
 */
#pragma once

#include <stdbool.h>
#include <sys/socket.h>

struct conn;
struct listener;

/*
 * Which ports clients use now, so that none of them is used towards the app: conntrack would take both connections for
 * one. Counted by a hash of address and port; a port that only looks used is passed over. All threads share it.
 */
struct transparent_ports;

/* Returns 0 or -ENOMEM. ret_ports: release with transparent_ports_free(). */
int transparent_ports_new(struct transparent_ports **ret_ports);
void transparent_ports_free(struct transparent_ports *ports);

/* Sets conn->transparent and its original destination when its socket is one, and returns that. */
bool transparent_begin(struct conn *conn, const struct listener *listener);

/* The connection ends: its port may be used again. Nothing when it is not transparent. */
void transparent_end(struct conn *conn);

/*
 * Begins to connect to the app as the client. As dialer_connect() otherwise; -EADDRNOTAVAIL when no port is free.
 */
int transparent_dial(struct conn *conn, const struct sockaddr *destination, int *ret_fd, bool *ret_in_progress);

/* Listening sockets. */
#pragma once

#include <stdbool.h>

#include "base/sockaddr.h"

/*
 * Opens a non-blocking listening socket. With `shared`, further ones may be opened on the same address by this uid
 * (SO_REUSEPORT: one a worker, and the kernel spreads connections over them).
 *
 * transparent  connections to any address that TPROXY rules send here are accepted (IP_TRANSPARENT)
 * ret_fd       set on success only
 * Returns 0, or the negative errno of what failed: -EPERM without NET_ADMIN for `transparent`, -EADDRINUSE when another
 * process has the port, -EACCES for a privileged one, -EAFNOSUPPORT when the kernel has no IPv6, -EADDRNOTAVAIL when
 * the address is not ours.
 */
int listener_open(const struct sockaddr *address, bool shared, bool transparent, int *ret_fd);

/* Whether `address` is free. Before the first shared socket: SO_REUSEPORT alone would join another process's group. */
int listener_check_free(const struct sockaddr *address);

/* A unix socket for everybody (mode 0666); an old one at the path that nobody answers is replaced. */
int listener_open_unix(const char *path, int *ret_fd);

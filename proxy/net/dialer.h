/* One outgoing connection attempt. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

/*
 * Opens a non-blocking socket and begins to connect it.
 *
 * source          local address without a port, or NULL
 * ret_fd          set on success only
 * ret_in_progress false when it is connected already (a destination on this machine); else writable tells, and
 *                 dialer_result() why
 * Returns 0 or the negative errno of what failed.
 */
int dialer_connect(const struct sockaddr *destination, const struct sockaddr *source, int *ret_fd,
                   bool *ret_in_progress);

/*
 * The same from `source`, address and port, which is another machine's, with packets that carry `mark`: by it the rules
 * of mode tproxy bring the answers back here. Needs NET_ADMIN.
 * -EADDRNOTAVAIL or -EADDRINUSE: another port may do.
 */
int dialer_connect_as(const struct sockaddr *destination, const struct sockaddr *source, uint32_t mark, int *ret_fd,
                      bool *ret_in_progress);

/* How a pending attempt ended: 0 or a negative errno. */
int dialer_result(int fd);

/* Whether the address, whatever its port, is one of this machine's. Makes system calls; for rare questions only. */
bool dialer_address_is_local(const struct sockaddr *address);

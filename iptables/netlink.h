/* Talking to the kernel over netlink: sending, and reading the answers. */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct mnl_socket;
struct nlmsghdr;

/* Returns 0 or a negative errno. ret_socket: close with mnl_socket_close(). */
int netlink_open(int bus, struct mnl_socket **ret_socket);

/*
 * Sends `length` bytes of messages and reads one acknowledgement for each sequence number from `first` to `last`.
 *
 * ret_failed   on error: the sequence number of the message that was refused, or 0 when it is not known
 * Returns 0 or the kernel's negative errno.
 */
int netlink_transact(struct mnl_socket *socket, const void *messages, size_t length, uint32_t first, uint32_t last,
                     uint32_t *ret_failed);

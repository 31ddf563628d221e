/* Talking to the kernel over netlink: sending, and reading the answers. */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct mnl_socket;
struct nlmsghdr;

/* Returns 0 or a negative errno. ret_socket: close with mnl_socket_close(). */
int netlink_open(int bus, struct mnl_socket **ret_socket);

/*
 * Sends `length` bytes of messages and reads answers until that to the message `acknowledged` (the only one with
 * NLM_F_ACK, so that the answers always fit), or the first error.
 *
 * ret_failed   on error: the sequence number of the message that was refused, or 0 when it is not known
 * Returns 0 or the kernel's negative errno.
 */
int netlink_transact(struct mnl_socket *socket, const void *messages, size_t length, uint32_t acknowledged,
                     uint32_t *ret_failed);

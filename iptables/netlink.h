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
 * Returns 0 or the kernel's negative errno; -ENOBUFS and -ETIMEDOUT: the answer is lost, and what was done not known.
 */
int netlink_transact(struct mnl_socket *socket, const void *messages, size_t length, uint32_t acknowledged,
                     uint32_t *ret_failed);

/*
 * Makes one change by rtnetlink: `message` has its type and its own flags; the rest of its header is set here.
 * Returns 0 or a negative errno.
 */
int netlink_change_routing(struct nlmsghdr *message);

/*
 * Sends one request and hands each message of the answer to `take`, up to the end of the dump, the acknowledgement, or
 * the answer that `take` says is the last.
 *
 * take   MNL_CB_OK, MNL_CB_STOP or, with errno set, MNL_CB_ERROR
 * Returns 0 or a negative errno: -EINTR when the dump was changed meanwhile (NLM_F_DUMP_INTR).
 */
int netlink_ask(struct mnl_socket *socket, const struct nlmsghdr *request,
                int (*take)(const struct nlmsghdr *answer, void *argument), void *argument);

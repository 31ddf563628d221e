/* Socket options of the data path. Failures of those that only tune are ignored where the call says so. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>

/* close() will send RST instead of FIN and drop what was not sent. */
void sockopt_reset_on_close(int fd);

/* No delay for small writes; nothing on a unix socket. */
void sockopt_set_nodelay(int fd);

/*
 * Probes an idle peer after `keepalive_ms`, then so often that it is given up about `dead_peer_ms` after it was last
 * heard of (tcp(7): TCP_KEEPIDLE, TCP_KEEPINTVL, TCP_KEEPCNT, whole seconds). 0 for keepalive_ms leaves it off.
 */
void sockopt_set_keepalive(int fd, uint64_t keepalive_ms, uint64_t dead_peer_ms);

/*
 * The socket may have an address that is not this machine's (ip(7): IP_TRANSPARENT; NET_ADMIN).
 * Returns 0 or a negative errno.
 */
int sockopt_set_transparent(int fd, sa_family_t family);

/* Packets of this socket carry `mark` (socket(7): SO_MARK; NET_ADMIN). Returns 0 or a negative errno. */
int sockopt_set_mark(int fd, uint32_t mark);

/* What the kernel knows about the peer (tcp(7): TCP_INFO). */
struct sockopt_peer {
    bool has_all;           /* everything written was acknowledged */
    bool owes;              /* it has not acknowledged bytes that were sent, or a probe of its closed window */
    uint64_t last_heard_ms; /* since its last acknowledgement */
};

/* Returns 0, or a negative errno when it is not a TCP socket. */
int sockopt_get_peer(int fd, struct sockopt_peer *ret_peer);

/* What has gone wrong with the socket (SO_ERROR), once: 0 or a negative errno. */
int sockopt_take_error(int fd);

/* Bytes that wait to be read (FIONREAD); 0 when that cannot be told. */
unsigned sockopt_unread(int fd);

/* Bytes not yet acknowledged by the peer (SIOCOUTQ); 0 when that cannot be told. */
unsigned sockopt_unacknowledged(int fd);

#include "proxy/net/sockopt.h"

#include <errno.h>
#include <linux/sockios.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "base/macros.h"

/* Unanswered probes before a peer is given up: at least so many, and the most that the kernel takes (MAX_TCP_KEEPCNT).
 */
#define FEWEST_PROBES 3
#define MOST_PROBES   127

static void set(int fd, int level, int option, int value)
{
    (void)!setsockopt(fd, level, option, &value, sizeof value); /* tuning: the connection works without it */
}

void sockopt_reset_on_close(int fd)
{
    struct linger linger = { .l_onoff = 1, .l_linger = 0 };

    (void)!setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
}

void sockopt_set_nodelay(int fd)
{
    set(fd, IPPROTO_TCP, TCP_NODELAY, 1);
}

void sockopt_set_keepalive(int fd, uint64_t keepalive_ms, uint64_t dead_peer_ms)
{
    int idle_s = (int)((keepalive_ms + 999) / 1000);
    int left_s = dead_peer_ms > keepalive_ms ? (int)((dead_peer_ms - keepalive_ms) / 1000) : 0;
    int interval_s = idle_s, probes = FEWEST_PROBES;

    if (keepalive_ms == 0)
        return;
    if (dead_peer_ms > 0) {
        /* Not above idle_s if so many probes are allowed: the kernel lets an interval pass after an answered probe too.
         */
        interval_s = MAX(MIN(left_s / FEWEST_PROBES, idle_s), MAX((left_s + MOST_PROBES - 1) / MOST_PROBES, 1));
        probes = MAX(left_s / interval_s, FEWEST_PROBES);
    }
    set(fd, IPPROTO_TCP, TCP_KEEPIDLE, idle_s);
    set(fd, IPPROTO_TCP, TCP_KEEPINTVL, interval_s);
    set(fd, IPPROTO_TCP, TCP_KEEPCNT, probes);
    set(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
}

int sockopt_set_transparent(int fd, sa_family_t family)
{
    int on = 1;
    int r = family == AF_INET ? setsockopt(fd, IPPROTO_IP, IP_TRANSPARENT, &on, sizeof on)
                              : setsockopt(fd, IPPROTO_IPV6, IPV6_TRANSPARENT, &on, sizeof on);

    return r < 0 ? -errno : 0;
}

int sockopt_set_mark(int fd, uint32_t mark)
{
    return setsockopt(fd, SOL_SOCKET, SO_MARK, &mark, sizeof mark) < 0 ? -errno : 0;
}

int sockopt_get_peer(int fd, struct sockopt_peer *ret_peer)
{
    struct tcp_info tcp = { 0 };
    socklen_t length = sizeof tcp;

    if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &tcp, &length) < 0)
        return -errno;
    ret_peer->has_all = tcp.tcpi_unacked == 0 && tcp.tcpi_notsent_bytes == 0;
    ret_peer->owes = tcp.tcpi_unacked > 0 || (tcp.tcpi_notsent_bytes > 0 && tcp.tcpi_probes > 0);
    ret_peer->last_heard_ms = tcp.tcpi_last_ack_recv;
    return 0;
}

unsigned sockopt_unacknowledged(int fd)
{
    int bytes = 0;

    return ioctl(fd, SIOCOUTQ, &bytes) < 0 || bytes < 0 ? 0 : (unsigned)bytes;
}

unsigned sockopt_unread(int fd)
{
    int bytes = 0;

    return ioctl(fd, FIONREAD, &bytes) < 0 || bytes < 0 ? 0 : (unsigned)bytes;
}

int sockopt_take_error(int fd)
{
    int error = 0;
    socklen_t length = sizeof error;

    return getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length) < 0 ? -errno : -error;
}

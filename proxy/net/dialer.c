#include "proxy/net/dialer.h"

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "base/sockaddr.h"
#include "proxy/net/sockopt.h"

/* The port is chosen at connect(), per destination, so that bound source addresses do not run out of ports (ip(7)). */
static int bind_source(int fd, const struct sockaddr *source)
{
    int on = 1;

    if (setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on) < 0)
        return -errno;
    return bind(fd, source, sockaddr_length(source)) < 0 ? -errno : 0;
}

/*
 * A destination on this machine has answered by the time connect(2) says EINPROGRESS. Asking at once spares an event;
 * everything but a plain "writable" is left to the event. poll(2) and not a second connect(2), which would take an
 * error and the bytes before it away.
 */
static bool is_connected_already(int fd)
{
    struct pollfd asked = { .fd = fd, .events = POLLOUT };

    return poll(&asked, 1, 0) == 1 && asked.revents == POLLOUT;
}

static int begin_connecting(int fd, const struct sockaddr *destination, bool *ret_in_progress)
{
    *ret_in_progress = false;
    if (connect(fd, destination, sockaddr_length(destination)) == 0)
        return 0;
    if (errno != EINPROGRESS)
        return -errno;
    *ret_in_progress = !is_connected_already(fd);
    return 0;
}

int dialer_connect(const struct sockaddr *destination, const struct sockaddr *source, int *ret_fd,
                   bool *ret_in_progress)
{
    int fd, r = 0;

    fd = socket(destination->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    if (destination->sa_family != AF_UNIX)
        sockopt_set_nodelay(fd);
    if (source)
        r = bind_source(fd, source);
    if (r == 0)
        r = begin_connecting(fd, destination, ret_in_progress);
    if (r < 0) {
        close(fd);
        return r;
    }
    *ret_fd = fd;
    return 0;
}

int dialer_connect_as(const struct sockaddr *destination, const struct sockaddr *source, uint32_t mark, int *ret_fd,
                      bool *ret_in_progress)
{
    int fd = socket(destination->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1, r;

    if (fd < 0)
        return -errno;
    sockopt_set_nodelay(fd);
    r = sockopt_set_transparent(fd, destination->sa_family);
    if (r == 0)
        r = sockopt_set_mark(fd, mark);
    if (r == 0 && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0)
        r = -errno;
    if (r == 0 && bind(fd, source, sockaddr_length(source)) < 0)
        r = -errno;
    if (r == 0)
        r = begin_connecting(fd, destination, ret_in_progress);
    if (r < 0)
        close(fd);
    else
        *ret_fd = fd;
    return r;
}

int dialer_result(int fd)
{
    int error = 0;
    socklen_t length = sizeof error;

    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length) < 0)
        return -errno;
    return -error;
}

bool dialer_address_is_local(const struct sockaddr *address)
{
    union inet_address local;
    bool is_local;
    int fd;

    if (sockaddr_is_loopback(address))
        return true;
    if (address->sa_family != AF_INET && address->sa_family != AF_INET6)
        return false;
    memset(&local, 0, sizeof local);
    memcpy(&local, address, sockaddr_length(address));
    sockaddr_set_port(&local.any, 0);
    fd = socket(address->sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return false;
    is_local = bind(fd, &local.any, sockaddr_length(&local.any)) == 0;
    close(fd);
    return is_local;
}

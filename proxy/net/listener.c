#include "proxy/net/listener.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proxy/net/sockopt.h"

#define BACKLOG 4096

static int bind_socket(const struct sockaddr *address, bool shared, bool transparent, int *ret_fd)
{
    int fd, r, on = 1;

    fd = socket(address->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0 ||
        (shared && setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) < 0) ||
        (address->sa_family == AF_INET6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on) < 0) ||
        (transparent && sockopt_set_transparent(fd, address->sa_family) < 0) ||
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) < 0 || /* accepted sockets inherit it */
        bind(fd, address, sockaddr_length(address)) < 0) {
        r = -errno;
        close(fd);
        return r;
    }
    *ret_fd = fd;
    return 0;
}

int listener_check_free(const struct sockaddr *address)
{
    int fd, r;

    r = bind_socket(address, false, false, &fd);
    if (r < 0)
        return r;
    close(fd);
    return 0;
}

int listener_open(const struct sockaddr *address, bool shared, bool transparent, int *ret_fd)
{
    int fd, r;

    r = bind_socket(address, shared, transparent, &fd);
    if (r < 0)
        return r;
    if (listen(fd, BACKLOG) < 0) {
        r = -errno;
        close(fd);
        return r;
    }
    *ret_fd = fd;
    return 0;
}

/* Whether somebody listens at the path. */
static bool unix_is_answered(const struct sockaddr_un *address)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    bool answered;

    if (fd < 0)
        return true;
    answered = connect(fd, (const struct sockaddr *)address, sizeof *address) == 0 || errno == EAGAIN;
    close(fd);
    return answered;
}

int listener_open_unix(const char *path, int *ret_fd)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    int fd, r;

    if (strlen(path) >= sizeof address.sun_path)
        return -ENAMETOOLONG;
    strcpy(address.sun_path, path);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    r = bind(fd, (struct sockaddr *)&address, sizeof address) < 0 ? -errno : 0;
    if (r == -EADDRINUSE && !unix_is_answered(&address)) {
        unlink(path);
        r = bind(fd, (struct sockaddr *)&address, sizeof address) < 0 ? -errno : 0;
    }
    if (r == 0 && (chmod(path, 0666) < 0 || listen(fd, 128) < 0)) {
        r = -errno;
        unlink(path);
    }
    if (r < 0) {
        close(fd);
        return r;
    }
    *ret_fd = fd;
    return 0;
}

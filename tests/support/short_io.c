/*
 * Preloaded into a proxy: reads and writes carry a random part of what they could, and are interrupted now and then, as
 * a kernel may do at any time. SHORT_IO_SEED makes two runs alike.
 */
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

static __thread unsigned long state;

static unsigned long draw(unsigned long below)
{
    if (state == 0)
        state = 88172645463325252ul + strtoul(getenv("SHORT_IO_SEED") ? getenv("SHORT_IO_SEED") : "1", NULL, 10);
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state % below;
}

/* Half of the calls are whole: otherwise nothing would ever be large. */
static size_t part_of(size_t length)
{
    return length < 2 || draw(2) == 0 ? length : 1 + draw(draw(2) == 0 ? 64 : length - 1) % length;
}

static int interrupted(void)
{
    unsigned long which = draw(20);

    if (which > 1)
        return 0;
    errno = which == 0 ? EINTR : EAGAIN;
    return 1;
}

ssize_t send(int fd, const void *bytes, size_t length, int flags)
{
    ssize_t (*real)(int, const void *, size_t, int) = dlsym(RTLD_NEXT, "send");

    return interrupted() ? -1 : real(fd, bytes, part_of(length), flags);
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
    ssize_t (*real)(int, const struct msghdr *, int) = dlsym(RTLD_NEXT, "sendmsg");
    struct msghdr shorter = *message;
    struct iovec first = message->msg_iov[0];

    if (interrupted())
        return -1;
    if (draw(2) == 0) {
        first.iov_len = part_of(first.iov_len);
        shorter.msg_iov = &first;
        shorter.msg_iovlen = 1;
    }
    return real(fd, &shorter, flags);
}

ssize_t recv(int fd, void *bytes, size_t size, int flags)
{
    ssize_t (*real)(int, void *, size_t, int) = dlsym(RTLD_NEXT, "recv");

    return interrupted() ? -1 : real(fd, bytes, part_of(size), flags);
}

/* With _FORTIFY_SOURCE the call has this name. */
ssize_t __recv_chk(int fd, void *bytes, size_t size, size_t room, int flags)
{
    (void)room;
    return recv(fd, bytes, size, flags);
}

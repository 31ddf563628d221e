/*
 * Preloaded into outrigger-init. BREAK_BATCH_RULE: names a chain that does not exist in that rule of the batch, so that
 * the kernel refuses it in the middle of the transaction. LOSE_ANSWER: the answer to the batch is lost (ENOBUFS).
 */
#include <dlfcn.h>
#include <errno.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netlink.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

static int is_batch_sent;

static void break_rule(char *bytes, size_t length, long number)
{
    struct nlmsghdr *message = (struct nlmsghdr *)bytes;

    while (NLMSG_OK(message, length)) {
        if ((message->nlmsg_type & 0xff) == NFT_MSG_NEWRULE && number-- == 1) {
            char *name = memmem(message, message->nlmsg_len, "outbound", 8);

            if (name)
                memcpy(name, "nonesuch", 8);
            return;
        }
        message = NLMSG_NEXT(message, length);
    }
}

ssize_t sendto(int fd, const void *bytes, size_t length, int flags, const struct sockaddr *to, socklen_t to_length)
{
    ssize_t (*real)(int, const void *, size_t, int, const struct sockaddr *, socklen_t) = dlsym(RTLD_NEXT, "sendto");
    const char *number = getenv("BREAK_BATCH_RULE");

    if (number && length > 1000)
        break_rule((char *)bytes, length, atol(number));
    is_batch_sent = length > 1000;
    return real(fd, bytes, length, flags, to, to_length);
}

ssize_t recvmsg(int fd, struct msghdr *message, int flags)
{
    ssize_t (*real)(int, struct msghdr *, int) = dlsym(RTLD_NEXT, "recvmsg");
    ssize_t n = real(fd, message, flags);

    if (n >= 0 && is_batch_sent && getenv("LOSE_ANSWER")) {
        is_batch_sent = 0;
        errno = ENOBUFS;
        return -1;
    }
    return n;
}

/*
 * Preloaded into outrigger-init: names a chain that does not exist in one rule of the batch (number BREAK_BATCH_RULE),
 * so that the kernel refuses it in the middle of the transaction.
 */
#include <dlfcn.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netlink.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

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
    return real(fd, bytes, length, flags, to, to_length);
}

/*
 * Preloaded into outrigger-init, which then sends the kernel something that it does not know, as a kernel without the
 * module would see it. BREAK_BATCH_RULE: that rule of the batch (1 …) is for a chain that does not exist.
 * BREAK_BATCH_WORD: the last letter of this word (the name of an expression, the type of a chain) is another one,
 * wherever it stands. LOSE_ANSWER: the answer to the batch is lost (ENOBUFS).
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

static void break_word(char *bytes, size_t length, const char *word)
{
    size_t size = strlen(word) + 1; /* with its end: "nat", and not "nat" in another word */
    char *end = bytes + length, *found;

    for (found = bytes; (found = memmem(found, (size_t)(end - found), word, size)); found += size)
        found[size - 2] ^= 1;
}

ssize_t sendto(int fd, const void *bytes, size_t length, int flags, const struct sockaddr *to, socklen_t to_length)
{
    ssize_t (*real)(int, const void *, size_t, int, const struct sockaddr *, socklen_t) = dlsym(RTLD_NEXT, "sendto");
    const char *number = getenv("BREAK_BATCH_RULE"), *word = getenv("BREAK_BATCH_WORD");

    if (number && length > 1000)
        break_rule((char *)bytes, length, atol(number));
    if (word && length > 1000)
        break_word((char *)bytes, length, word);
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

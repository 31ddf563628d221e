/* A carrier's way to its descriptor. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/macros.h"
#include "proxy/tls/carrier_private.h"

/* A peer may ask for answers (KeyUpdate) and not take them: what is owed beyond one full buffer ends it. */
#define MOST_OWED (2 * CARRIER_OUT_SIZE)

size_t carrier_owes(const struct carrier *carrier)
{
    return carrier->owed_end - carrier->owed_at;
}

int carrier_flush(struct carrier *carrier, int fd)
{
    ssize_t n;

    if (!carrier->owed)
        return 0;
    n = send(fd, carrier->owed + carrier->owed_at, carrier->owed_end - carrier->owed_at, MSG_NOSIGNAL);
    if (n < 0)
        return errno == EINTR ? -EAGAIN : -errno;
    carrier->owed_at += (size_t)n;
    if (carrier->owed_at < carrier->owed_end)
        return -EAGAIN;
    free(carrier->owed);
    carrier->owed = NULL;
    carrier->owed_at = carrier->owed_end = 0;
    return 0;
}

/* Keeps `length` bytes behind what is owed already. */
static int owe(struct carrier *carrier, const unsigned char *bytes, size_t length)
{
    size_t before = carrier_owes(carrier);
    unsigned char *grown;

    if (before + length > MOST_OWED)
        return -ENOBUFS;
    grown = malloc(before + length);
    if (!grown)
        return -ENOMEM;
    if (before > 0)
        memcpy(grown, carrier->owed + carrier->owed_at, before);
    memcpy(grown + before, bytes, length);
    free(carrier->owed);
    carrier->owed = grown;
    carrier->owed_at = 0;
    carrier->owed_end = before + length;
    return 0;
}

/* Sends what OpenSSL has made in this call, or owes it. Returns 0 or a negative errno; the means are empty in any case.
 */
int carrier_send_made(struct carrier *carrier, int fd, bool more)
{
    struct carrier_means *means = carrier->means;
    size_t length = means->out_length, sent = 0;
    ssize_t n;

    means->out_length = 0;
    if (length == 0)
        return 0;
    if (!carrier->owed) {
        n = send(fd, means->out, length, more ? MSG_NOSIGNAL | MSG_MORE : MSG_NOSIGNAL);
        if (n < 0 && errno != EAGAIN && errno != EINTR)
            return -errno;
        sent = n > 0 ? (size_t)n : 0;
    }
    return sent < length ? owe(carrier, means->out + sent, length - sent) : 0;
}

/* What OpenSSL has not taken stays for the next call. At most a record or so: see carrier_read(). */
int carrier_stash(struct carrier *carrier)
{
    unsigned char *kept = NULL;

    if (carrier->in_left > 0) {
        kept = malloc(carrier->in_left);
        if (!kept) {
            carrier->in_left = 0;
            carrier->end = -ENOMEM;
        } else {
            memcpy(kept, carrier->in, carrier->in_left);
        }
    }
    free(carrier->stash);
    carrier->stash = kept;
    carrier->in = kept;
    return carrier->end == -ENOMEM ? -ENOMEM : 0;
}

/* Feeds up to `most` bytes. Returns how many, 0 at the end of the descriptor, or a negative errno. */
ssize_t carrier_feed(struct carrier *carrier, int fd, size_t most)
{
    ssize_t n = recv(fd, carrier->means->in, MIN(most, (size_t)CARRIER_IN_SIZE), 0);

    if (n < 0)
        return errno == EINTR ? -EAGAIN : -errno;
    carrier->in = carrier->means->in;
    carrier->in_left = (size_t)n;
    return n;
}

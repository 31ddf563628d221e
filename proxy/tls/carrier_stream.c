/* The stream of a carrier: bytes in and out, and its orderly end. */
#include <errno.h>
#include <openssl/err.h>

#include "base/macros.h"
#include "proxy/tls/carrier_private.h"

#define RECORD_ROOM       (CARRIER_LARGEST_RECORD + 512) /* with all that may be around one */
#define MOST_SILENT_BYTES (64 * 1024)

bool carrier_has_more(const struct carrier *carrier)
{
    return carrier->in_left > 0 || carrier->end != CARRIER_NOT_ENDED || SSL_pending(carrier->ssl) > 0;
}

/* How reading ends, and with what. */
static int end_of(struct carrier *carrier, int result)
{
    switch (SSL_get_error(carrier->ssl, result)) {
    case SSL_ERROR_WANT_READ:
        return CARRIER_NOT_ENDED;
    case SSL_ERROR_ZERO_RETURN:
        return 0;
    default:
        carrier_note_error(carrier);
        return -EPROTO;
    }
}

/* Takes up to `size` bytes out of what is fed. */
static size_t decrypt(struct carrier *carrier, char *bytes, size_t size)
{
    size_t total = 0, got;

    while (total < size && (carrier->in_left > 0 || SSL_pending(carrier->ssl) > 0)) {
        int result = SSL_read_ex(carrier->ssl, bytes + total, size - total, &got);

        if (result == 1) {
            total += got;
            continue;
        }
        carrier->end = end_of(carrier, result);
        if (carrier->end != CARRIER_NOT_ENDED)
            carrier->in_left = 0; /* what is behind the end is nothing */
        break;
    }
    return total;
}

/*
 * What was fed and has brought nothing: a record that has begun, and messages of TLS itself. A peer that sends those
 * without end (KeyUpdate) would keep a worker busy.
 */
static void count_silence(struct carrier *carrier, size_t fed, size_t brought)
{
    carrier->silent_bytes = brought > 0 ? 0 : carrier->silent_bytes + fed;
    if (carrier->silent_bytes <= MOST_SILENT_BYTES || carrier->end != CARRIER_NOT_ENDED)
        return;
    carrier_fail(carrier, TLS_PROBLEM_PROTOCOL, "it talks of TLS and of nothing else");
    carrier->end = -EPROTO;
}

/* Feeds until there is as much as is wanted, or nothing is left to be fed. At least a record each time: see
 * mesh_dial(). */
static size_t read_on(struct carrier *carrier, int fd, char *bytes, size_t size)
{
    size_t total = 0, asked, brought;
    ssize_t n;

    do {
        asked = MIN(MAX(size - total, (size_t)RECORD_ROOM), (size_t)CARRIER_IN_SIZE);
        n = carrier_feed(carrier, fd, asked);
        if (n == -EAGAIN)
            break;
        if (n <= 0) {
            carrier->end = n < 0 ? (int)n : -ECONNRESET;
            break;
        }
        brought = decrypt(carrier, bytes + total, size - total);
        count_silence(carrier, (size_t)n, brought);
        total += brought;
    } while (total < size && (size_t)n == asked && carrier->end == CARRIER_NOT_ENDED);
    return total;
}

/*
 * What is inside comes first, and alone: libevent runs who has more inside before it looks at sockets again, so a read
 * of the socket as well would go on for as long as the peer sends.
 */
ssize_t carrier_read(struct carrier *carrier, int fd, void *bytes, size_t size)
{
    size_t total = decrypt(carrier, bytes, size);
    int r;

    if (total == 0 && carrier->end == CARRIER_NOT_ENDED)
        total = read_on(carrier, fd, bytes, size);
    r = carrier_send_made(carrier, fd, false);
    if (r < 0 && carrier->end == CARRIER_NOT_ENDED)
        carrier->end = r;
    carrier_stash(carrier);
    if (total > 0)
        return (ssize_t)total;
    return carrier->end == CARRIER_NOT_ENDED ? -EAGAIN : carrier->end;
}

/* Encrypts a piece of at most a record. Returns how much of it, or -EPROTO. */
static ssize_t encrypt(struct carrier *carrier, const char *bytes, size_t length)
{
    size_t done;

    if (SSL_write_ex(carrier->ssl, bytes, MIN(length, (size_t)CARRIER_LARGEST_RECORD), &done) == 1)
        return (ssize_t)done;
    carrier_note_error(carrier);
    return -EPROTO;
}

/* As carrier_write() for one vector. Sends when there is no room for another record, and stops when that is owed. */
static ssize_t write_one(struct carrier *carrier, int fd, const struct iovec *vector)
{
    size_t at = 0;

    while (at < vector->iov_len) {
        ssize_t done;

        if (CARRIER_OUT_SIZE - carrier->means->out_length < RECORD_ROOM) {
            int r = carrier_send_made(carrier, fd, true);

            if (r < 0)
                return r;
            if (carrier->owed)
                break;
        }
        done = encrypt(carrier, (const char *)vector->iov_base + at, vector->iov_len - at);
        if (done < 0)
            return done;
        at += (size_t)done;
    }
    return (ssize_t)at;
}

ssize_t carrier_write(struct carrier *carrier, int fd, const struct iovec *vectors, int count, bool more)
{
    int r = carrier_flush(carrier, fd);
    size_t total = 0;

    if (r < 0)
        return r;
    for (int i = 0; i < count && !carrier->owed; i++) {
        ssize_t n = write_one(carrier, fd, &vectors[i]);

        if (n < 0) {
            carrier->means->out_length = 0;
            return n;
        }
        total += (size_t)n;
    }
    r = carrier_send_made(carrier, fd, more);
    return r < 0 ? r : (ssize_t)total;
}

int carrier_finish(struct carrier *carrier, int fd)
{
    int r;

    if (!carrier->is_finished) {
        carrier->is_finished = true;
        if (SSL_shutdown(carrier->ssl) < 0) {
            ERR_clear_error();
            return -EPROTO;
        }
        r = carrier_send_made(carrier, fd, false);
        if (r < 0)
            return r;
    }
    return carrier_flush(carrier, fd);
}

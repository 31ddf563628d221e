#include "proxy/tls/carrier.h"

#include <errno.h>
#include <openssl/err.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/macros.h"
#include "proxy/tls/carrier_private.h"
#include "proxy/tls/credentials.h"

#define LARGEST_RECORD (16 * 1024)            /* RFC 8446, 5.1 */
#define RECORD_ROOM    (LARGEST_RECORD + 512) /* with all that may be around it */

/* A peer may ask for answers (KeyUpdate) and not take them: what is owed beyond one full buffer ends it. */
#define MOST_OWED (2 * CARRIER_OUT_SIZE)

#define NOT_ENDED 1

static int own_slot;
static pthread_once_t slot_once = PTHREAD_ONCE_INIT;

static void take_slot(void)
{
    own_slot = SSL_get_ex_new_index(0, NULL, NULL, NULL, NULL);
}

struct carrier *carrier_of(const SSL *ssl)
{
    return SSL_get_ex_data(ssl, own_slot);
}

int carrier_means_init(struct carrier_means *means)
{
    means->in = malloc(CARRIER_IN_SIZE);
    means->out = malloc(CARRIER_OUT_SIZE);
    return means->in && means->out ? 0 : -ENOMEM;
}

void carrier_means_done(struct carrier_means *means)
{
    free(means->in);
    free(means->out);
    means->in = means->out = NULL;
}

struct carrier *carrier_new(struct carrier_means *means, struct credentials *credentials, enum carrier_role role,
                            const struct name_list *expected)
{
    struct carrier *carrier = calloc(1, sizeof *carrier);
    BIO *bio;

    pthread_once(&slot_once, take_slot);
    if (!carrier)
        return NULL;
    carrier->means = means;
    carrier->expected = expected;
    carrier->owes_status = role == CARRIER_ACCEPTS;
    carrier->detail = "";
    carrier->end = NOT_ENDED;
    carrier->credentials = credentials_ref(credentials);
    carrier->ssl = SSL_new(credentials->context);
    bio = carrier->ssl ? carrier_bio_new(carrier) : NULL;
    if (!bio || SSL_set_ex_data(carrier->ssl, own_slot, carrier) != 1) {
        BIO_free(bio);
        carrier_free(carrier);
        ERR_clear_error();
        return NULL;
    }
    SSL_set_bio(carrier->ssl, bio, bio);
    if (role == CARRIER_DIALS)
        SSL_set_connect_state(carrier->ssl);
    else
        SSL_set_accept_state(carrier->ssl);
    return carrier;
}

void carrier_free(struct carrier *carrier)
{
    if (!carrier)
        return;
    SSL_free(carrier->ssl);
    credentials_unref(carrier->credentials);
    free(carrier->peer_text);
    free(carrier->stash);
    free(carrier->owed);
    free(carrier);
}

void carrier_fail(struct carrier *carrier, enum tls_problem problem, const char *detail)
{
    if (carrier->problem != TLS_PROBLEM_NONE)
        return;
    carrier->problem = problem;
    carrier->detail = detail;
}

int carrier_set_peer(struct carrier *carrier, const struct spiffe_id *peer)
{
    carrier->peer_text = malloc(peer->length + 1);
    if (!carrier->peer_text)
        return -ENOMEM;
    memcpy(carrier->peer_text, peer->text, peer->length);
    carrier->peer_text[peer->length] = '\0';
    carrier->peer = *peer;
    carrier->peer.text = carrier->peer_text;
    return 0;
}

enum tls_problem carrier_problem(const struct carrier *carrier, const char **ret_detail)
{
    *ret_detail = carrier->detail;
    return carrier->problem;
}

const struct spiffe_id *carrier_peer(const struct carrier *carrier)
{
    return carrier->is_done ? &carrier->peer : NULL;
}

bool carrier_owes_status(struct carrier *carrier)
{
    bool owes = carrier->is_done && carrier->owes_status;

    if (owes)
        carrier->owes_status = false;
    return owes;
}

bool carrier_met_mesh(const struct carrier *carrier)
{
    return carrier->met_mesh;
}

size_t carrier_owes(const struct carrier *carrier)
{
    return carrier->owed_end - carrier->owed_at;
}

bool carrier_has_more(const struct carrier *carrier)
{
    return carrier->in_left > 0 || carrier->end != NOT_ENDED || SSL_pending(carrier->ssl) > 0;
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
static int send_made(struct carrier *carrier, int fd, bool more)
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
static int stash(struct carrier *carrier)
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
static ssize_t feed(struct carrier *carrier, int fd, size_t most)
{
    ssize_t n = recv(fd, carrier->means->in, MIN(most, (size_t)CARRIER_IN_SIZE), 0);

    if (n < 0)
        return errno == EINTR ? -EAGAIN : -errno;
    carrier->in = carrier->means->in;
    carrier->in_left = (size_t)n;
    return n;
}

/* What is in OpenSSL's queue of errors, which is empty afterwards. */
static void note_error(struct carrier *carrier)
{
    unsigned long error = ERR_peek_error();
    int reason = ERR_GET_REASON(error);
    const char *text = ERR_reason_error_string(error);

    ERR_clear_error();
    if (!text)
        text = "an error without a name";
    switch (reason) {
    case SSL_R_WRONG_VERSION_NUMBER:
    case SSL_R_HTTP_REQUEST:
    case SSL_R_HTTPS_PROXY_REQUEST:
    case SSL_R_PACKET_LENGTH_TOO_LONG:
        carrier_fail(carrier, carrier->met_mesh ? TLS_PROBLEM_PROTOCOL : TLS_PROBLEM_NOT_TLS, text);
        return;
    case SSL_R_UNSUPPORTED_PROTOCOL:
    case SSL_R_TLSV1_ALERT_PROTOCOL_VERSION:
        carrier_fail(carrier, TLS_PROBLEM_VERSION, text);
        return;
    case SSL_R_NO_APPLICATION_PROTOCOL:
    case SSL_R_TLSV1_ALERT_NO_APPLICATION_PROTOCOL:
        carrier_fail(carrier, TLS_PROBLEM_NOT_MESH, text);
        return;
    case SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE:
        carrier_fail(carrier, TLS_PROBLEM_NO_CERTIFICATE, text);
        return;
    case SSL_R_EXCESSIVE_MESSAGE_SIZE:
        carrier_fail(carrier, TLS_PROBLEM_UNTRUSTED, "its certificates are too long");
        return;
    default:
        carrier_fail(carrier, reason >= SSL_AD_REASON_OFFSET ? TLS_PROBLEM_REFUSED : TLS_PROBLEM_PROTOCOL, text);
        return;
    }
}

static void look_at_protocol(struct carrier *carrier)
{
    const unsigned char *protocol;
    unsigned length;

    SSL_get0_alpn_selected(carrier->ssl, &protocol, &length);
    carrier->met_mesh = length > 0;
}

/* One step with what is fed. Returns 0 when the handshake is done, -EAGAIN when more must be read, or -EPROTO. */
static int step(struct carrier *carrier)
{
    int done = SSL_do_handshake(carrier->ssl);

    if (!carrier->met_mesh)
        look_at_protocol(carrier);
    if (done == 1) {
        ERR_clear_error(); /* OpenSSL leaves some of what it got over */
        return 0;
    }
    if (SSL_get_error(carrier->ssl, done) == SSL_ERROR_WANT_READ)
        return -EAGAIN;
    note_error(carrier);
    return -EPROTO;
}

/* RFC 7301 does not make a peer choose, but ours does. */
static int finish_handshake(struct carrier *carrier)
{
    if (!carrier->met_mesh) {
        carrier_fail(carrier, TLS_PROBLEM_NOT_MESH, "it has chosen no protocol");
        return -EPROTO;
    }
    carrier->is_done = true;
    carrier->expected = NULL;
    return 0;
}

/* Returns 0 when there is something to go on with. */
static int feed_handshake(struct carrier *carrier, int fd)
{
    ssize_t n = feed(carrier, fd, LARGEST_RECORD);

    if (n > 0)
        return 0;
    if (n == -EAGAIN)
        return -EAGAIN;
    carrier_fail(carrier, TLS_PROBLEM_CUT, n == 0 ? "it has closed the connection" : "it has reset the connection");
    return -EPROTO;
}

int carrier_handshake(struct carrier *carrier, int fd)
{
    int r = carrier_flush(carrier, fd), sent;

    if (r < 0 && r != -EAGAIN) {
        carrier_fail(carrier, TLS_PROBLEM_CUT, "it has reset the connection");
        return -EPROTO;
    }
    do {
        r = step(carrier);
        sent = send_made(carrier, fd, false);
        if (sent < 0 && r != -EPROTO) {
            carrier_fail(carrier, TLS_PROBLEM_CUT, "it has reset the connection");
            r = -EPROTO;
        }
        if (r == -EAGAIN)
            r = feed_handshake(carrier, fd);
        else if (r == 0)
            return stash(carrier) < 0 ? -ENOMEM : finish_handshake(carrier);
    } while (r == 0);
    return r;
}

/* How reading ends, and with what. */
static int end_of(struct carrier *carrier, int result)
{
    switch (SSL_get_error(carrier->ssl, result)) {
    case SSL_ERROR_WANT_READ:
        return NOT_ENDED;
    case SSL_ERROR_ZERO_RETURN:
        return 0;
    default:
        note_error(carrier);
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
        if (carrier->end != NOT_ENDED)
            carrier->in_left = 0; /* what is behind the end is nothing */
        break;
    }
    return total;
}

/*
 * Never feeds more than there is room for: a record is longer than what is in it. So only a record that had begun
 * before may be left, in OpenSSL or in the stash.
 */
ssize_t carrier_read(struct carrier *carrier, int fd, void *bytes, size_t size)
{
    size_t total = decrypt(carrier, bytes, size);
    bool is_drained = false;
    int r;

    while (total < size && !is_drained && carrier->end == NOT_ENDED) {
        size_t asked = MIN(size - total, (size_t)CARRIER_IN_SIZE);
        ssize_t n = feed(carrier, fd, asked);

        if (n == -EAGAIN)
            break;
        if (n <= 0) {
            carrier->end = n < 0 ? (int)n : -ECONNRESET;
            break;
        }
        is_drained = (size_t)n < asked;
        total += decrypt(carrier, (char *)bytes + total, size - total);
    }
    r = send_made(carrier, fd, false);
    if (r < 0 && carrier->end == NOT_ENDED)
        carrier->end = r;
    stash(carrier);
    if (total > 0)
        return (ssize_t)total;
    return carrier->end == NOT_ENDED ? -EAGAIN : carrier->end;
}

/* Encrypts while there is room to send it from. Returns how many bytes, or a negative errno. */
static ssize_t encrypt(struct carrier *carrier, const struct iovec *vectors, int count)
{
    size_t total = 0, done;

    for (int i = 0; i < count; i++) {
        const char *bytes = vectors[i].iov_base;

        for (size_t at = 0; at < vectors[i].iov_len; at += done) {
            size_t piece = MIN(vectors[i].iov_len - at, (size_t)LARGEST_RECORD);

            if (CARRIER_OUT_SIZE - carrier->means->out_length < RECORD_ROOM)
                return (ssize_t)total;
            if (SSL_write_ex(carrier->ssl, bytes + at, piece, &done) != 1) {
                note_error(carrier);
                return -EPROTO;
            }
            total += done;
        }
    }
    return (ssize_t)total;
}

ssize_t carrier_write(struct carrier *carrier, int fd, const struct iovec *vectors, int count, bool more)
{
    int r = carrier_flush(carrier, fd);
    ssize_t taken;

    if (r < 0)
        return r;
    taken = encrypt(carrier, vectors, count);
    r = send_made(carrier, fd, more);
    return r < 0 ? r : taken;
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
        r = send_made(carrier, fd, false);
        if (r < 0)
            return r;
    }
    return carrier_flush(carrier, fd);
}

bool carrier_is_revoked(const struct carrier *carrier, const struct credentials *credentials)
{
    STACK_OF(X509) *chain = SSL_get_peer_cert_chain(carrier->ssl);
    X509 *certificate = SSL_get0_peer_certificate(carrier->ssl);
    STACK_OF(X509) * alone;
    bool is_revoked;

    if (chain && sk_X509_num(chain) > 0 && sk_X509_value(chain, 0) == certificate)
        return credentials_list_as_revoked(credentials, chain);
    /* A server does not have the client's own certificate in the chain (SSL_get_peer_cert_chain(3)). */
    alone = sk_X509_new_null();
    is_revoked = certificate && alone && sk_X509_push(alone, certificate) > 0 &&
                 credentials_list_as_revoked(credentials, alone);
    sk_X509_free(alone);
    return is_revoked || (chain && credentials_list_as_revoked(credentials, chain));
}

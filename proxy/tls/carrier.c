#include "proxy/tls/carrier.h"

#include <errno.h>
#include <openssl/err.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/macros.h"
#include "proxy/tls/carrier_private.h"
#include "proxy/tls/credentials.h"

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

uint64_t carrier_began_ms(const struct carrier *carrier)
{
    return carrier->began_ms;
}

struct carrier *carrier_new(struct carrier_means *means, struct credentials *credentials, enum carrier_role role,
                            uint64_t now_ms)
{
    struct carrier *carrier = calloc(1, sizeof *carrier);
    BIO *bio;

    pthread_once(&slot_once, take_slot);
    if (!carrier)
        return NULL;
    carrier->began_ms = now_ms;
    carrier->means = means;
    carrier->owes_status = role == CARRIER_ACCEPTS;
    carrier->detail = "";
    carrier->end = CARRIER_NOT_ENDED;
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
    carrier_note_error(carrier);
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
    return 0;
}

/* Returns 0 when there is something to go on with. */
static int feed_handshake(struct carrier *carrier, int fd)
{
    ssize_t n = carrier_feed(carrier, fd, CARRIER_LARGEST_RECORD);

    if (n > 0)
        return 0;
    if (n == -EAGAIN)
        return -EAGAIN;
    carrier_fail(carrier, TLS_PROBLEM_CUT, n == 0 ? "it has closed the connection" : "it has reset the connection");
    return -EPROTO;
}

int carrier_handshake(struct carrier *carrier, int fd, const struct name_list *expected)
{
    int r = carrier_flush(carrier, fd), sent;

    if (r < 0 && r != -EAGAIN) {
        carrier_fail(carrier, TLS_PROBLEM_CUT, "it has reset the connection");
        return -EPROTO;
    }
    do {
        carrier->expected = expected;
        r = step(carrier);
        carrier->expected = NULL;
        sent = carrier_send_made(carrier, fd, false);
        if (sent < 0 && r != -EPROTO) {
            carrier_fail(carrier, TLS_PROBLEM_CUT, "it has reset the connection");
            r = -EPROTO;
        }
        if (r == -EAGAIN)
            r = feed_handshake(carrier, fd);
        else if (r == 0)
            return carrier_stash(carrier) < 0 ? -ENOMEM : finish_handshake(carrier);
    } while (r == 0);
    return r;
}

bool carrier_is_revoked(const struct carrier *carrier, const struct credentials *credentials)
{
    STACK_OF(X509) *chain = SSL_get_peer_cert_chain(carrier->ssl);
    X509 *certificate = SSL_get0_peer_certificate(carrier->ssl);
    STACK_OF(X509) * alone;
    bool is_revoked;

    if (!credentials || !credentials->parts.crls || credentials == carrier->credentials)
        return false;
    if (chain && sk_X509_num(chain) > 0 && sk_X509_value(chain, 0) == certificate)
        return credentials_list_as_revoked(credentials, chain);
    /* A server does not have the client's own certificate in the chain (SSL_get_peer_cert_chain(3)). */
    alone = sk_X509_new_null();
    is_revoked = certificate && alone && sk_X509_push(alone, certificate) > 0 &&
                 credentials_list_as_revoked(credentials, alone);
    sk_X509_free(alone);
    return is_revoked || (chain && credentials_list_as_revoked(credentials, chain));
}

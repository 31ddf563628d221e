#include "proxy/tls/context.h"

#include <pthread.h>
#include <string.h>

#include "proxy/tls/credentials.h"
#include "proxy/tls/library_context.h"
#include "proxy/tls/mesh.h"
#include "proxy/tls/verify.h"

/* As it is sent: each name behind its length (RFC 7301, 3.1). */
static const unsigned char protocols[] = "\x0b" MESH_ALPN;

/* Fast where processors have AES, as nearly all do; the others are there for who must have them. */
static const char suites[] = "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256";

/* OpenSSL's macros drop `const` for this and the next, and nobody writes to them. */
static char groups[] = "X25519:P-256:P-384";

/* What SVIDs are signed with; each that is offered costs time in every handshake. */
static char signatures[] = "ECDSA+SHA256:RSA-PSS+SHA256:ed25519:ECDSA+SHA384:RSA-PSS+SHA384";

/* Of TLS 1.2, which is off: OpenSSL goes through the whole list all the same. */
static const char unused_suite[] = "ECDHE-ECDSA-AES128-GCM-SHA256";

static int own_slot; /* of a context's data; OpenSSL's first slot is not ours */
static pthread_once_t slot_once = PTHREAD_ONCE_INIT;

static void take_slot(void)
{
    own_slot = SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, NULL);
}

/* RFC 7301, 3.2: without a protocol in common "the server SHALL send a fatal no_application_protocol alert". */
static int on_alpn(SSL *ssl, const unsigned char **ret_name, unsigned char *ret_length, const unsigned char *offered,
                   unsigned length, void *unused)
{
    unsigned char *chosen;

    (void)ssl;
    (void)unused;
    if (SSL_select_next_proto(&chosen, ret_length, protocols, sizeof protocols - 1, offered, length) !=
        OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    *ret_name = chosen;
    return SSL_TLSEXT_ERR_OK;
}

SSL_CTX *context_new(struct credentials *credentials)
{
    SSL_CTX *context = SSL_CTX_new_ex(library_context(), NULL, TLS_method());

    pthread_once(&slot_once, take_slot);
    if (!context)
        return NULL;
    SSL_CTX_set_security_level(context, CONTEXT_SECURITY_LEVEL);
    SSL_CTX_set_options(context, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
    /* A peer's end is told by the descriptor; OpenSSL never sees one. Chains are sent as they were given. */
    SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                  SSL_MODE_RELEASE_BUFFERS | SSL_MODE_NO_AUTO_CHAIN);
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_max_cert_list(context, CREDENTIALS_MOST_BYTES);
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    SSL_CTX_set_cert_verify_callback(context, verify_on_peer, NULL);
    SSL_CTX_set_alpn_select_cb(context, on_alpn, NULL);
    if (SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION) != 1 ||
        SSL_CTX_set_max_proto_version(context, TLS1_3_VERSION) != 1 || SSL_CTX_set_num_tickets(context, 0) != 1 ||
        SSL_CTX_set_max_early_data(context, 0) != 1 || SSL_CTX_set_ciphersuites(context, suites) != 1 ||
        SSL_CTX_set1_groups_list(context, groups) != 1 || SSL_CTX_set1_sigalgs_list(context, signatures) != 1 ||
        SSL_CTX_set_cipher_list(context, unused_suite) != 1 ||
        SSL_CTX_set_alpn_protos(context, protocols, sizeof protocols - 1) != 0 ||
        SSL_CTX_set_ex_data(context, own_slot, credentials) != 1) {
        SSL_CTX_free(context);
        return NULL;
    }
    return context;
}

struct credentials *context_credentials(const SSL_CTX *context)
{
    return SSL_CTX_get_ex_data(context, own_slot);
}

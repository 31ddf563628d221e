#include "proxy/tls/verify.h"

#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <string.h>
#include <time.h>

#include "proxy/config/model.h"
#include "proxy/tls/carrier_private.h"
#include "proxy/tls/context.h"
#include "proxy/tls/credentials.h"
#include "proxy/tls/mesh.h"

static enum tls_problem problem_of(int error)
{
    switch (error) {
    case X509_V_ERR_CERT_HAS_EXPIRED:
        return TLS_PROBLEM_EXPIRED;
    case X509_V_ERR_CERT_NOT_YET_VALID:
        return TLS_PROBLEM_NOT_YET_VALID;
    case X509_V_ERR_CERT_REVOKED:
        return TLS_PROBLEM_REVOKED;
    case X509_V_ERR_UNABLE_TO_GET_CRL:
    case X509_V_ERR_UNABLE_TO_GET_CRL_ISSUER:
    case X509_V_ERR_CRL_HAS_EXPIRED:
    case X509_V_ERR_CRL_NOT_YET_VALID:
    case X509_V_ERR_CRL_SIGNATURE_FAILURE:
    case X509_V_ERR_UNABLE_TO_DECRYPT_CRL_SIGNATURE:
    case X509_V_ERR_KEYUSAGE_NO_CRL_SIGN:
    case X509_V_ERR_CRL_PATH_VALIDATION_ERROR:
    case X509_V_ERR_DIFFERENT_CRL_SCOPE:
        return TLS_PROBLEM_CRL;
    default:
        return TLS_PROBLEM_UNTRUSTED;
    }
}

/* Sets *ret_error to one of X509_V_*. Returns whether the chain is good. */
static bool verify_chain(X509_STORE_CTX *given, const struct credentials *credentials, X509_STORE *store,
                         struct verified *verified, const uint8_t *digest, int *ret_error)
{
    X509_STORE_CTX *own = X509_STORE_CTX_new();
    unsigned long flags = X509_V_FLAG_X509_STRICT | X509_V_FLAG_PARTIAL_CHAIN | X509_V_FLAG_TRUSTED_FIRST;
    bool is_good = false;

    *ret_error = X509_V_ERR_OUT_OF_MEM;
    if (!own ||
        X509_STORE_CTX_init(own, store, X509_STORE_CTX_get0_cert(given), X509_STORE_CTX_get0_untrusted(given)) != 1)
        goto out;
    /* The leaf is for clients and servers both, or does not say: svid_check() has seen to it. */
    X509_STORE_CTX_set_purpose(own, X509_PURPOSE_SSL_CLIENT);
    if (credentials->parts.crls) {
        flags |= X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL;
        X509_STORE_CTX_set0_crls(own, credentials->parts.crls);
    }
    X509_STORE_CTX_set_flags(own, flags);
    X509_STORE_CTX_set_depth(own, CREDENTIALS_MOST_CHAIN);
    X509_VERIFY_PARAM_set_auth_level(X509_STORE_CTX_get0_param(own), CONTEXT_SECURITY_LEVEL);
    is_good = X509_verify_cert(own) == 1;
    if (is_good && digest)
        verified_add(verified, digest, credentials->serial, X509_STORE_CTX_get0_chain(own));
    *ret_error = is_good ? X509_V_OK : X509_STORE_CTX_get_error(own);
    if (!is_good && *ret_error == X509_V_OK)
        *ret_error = X509_V_ERR_UNSPECIFIED;
out:
    X509_STORE_CTX_free(own);
    return is_good;
}

/* The same, without its cost where it was done lately. */
static bool verify_chain_once(X509_STORE_CTX *given, const struct credentials *credentials, X509_STORE *store,
                              struct verified *verified, int *ret_error)
{
    uint8_t digest[VERIFIED_BYTES];
    bool has_digest = verified_digest(X509_STORE_CTX_get0_cert(given), X509_STORE_CTX_get0_untrusted(given), digest);
    int64_t now_s = (int64_t)time(NULL);

    if (has_digest && now_s < credentials->crls_until_s && verified_knows(verified, digest, credentials->serial, now_s))
        return true;
    return verify_chain(given, credentials, store, verified, has_digest ? digest : NULL, ret_error);
}

static bool is_expected(const struct carrier *carrier, const struct credentials *credentials,
                        const struct spiffe_id *peer)
{
    const struct name_list *patterns = carrier->expected;

    if (!patterns) /* who may connect is for authorization to say */
        return true;
    if (patterns->count == 0)
        return spiffe_id_is_in(peer, credentials->parts.bundles[0].trust_domain);
    for (size_t i = 0; i < patterns->count; i++) {
        struct spiffe_id pattern;
        const char *problem;

        if (spiffe_pattern_parse(patterns->items[i], strlen(patterns->items[i]), &pattern, &problem) == 0 &&
            spiffe_pattern_matches(&pattern, peer))
            return true;
    }
    return false;
}

static bool refuse(X509_STORE_CTX *given, struct carrier *carrier, enum tls_problem problem, const char *detail,
                   int error)
{
    carrier_fail(carrier, problem, detail);
    X509_STORE_CTX_set_error(given, error); /* decides which alert the peer gets */
    return false;
}

static bool verify(X509_STORE_CTX *given, const SSL *ssl, struct carrier *carrier)
{
    const struct credentials *credentials = context_credentials(SSL_get_SSL_CTX(ssl));
    const struct trust_bundle *bundle;
    const unsigned char *protocol;
    char text[SVID_TEXT_SIZE];
    struct spiffe_id peer;
    const char *problem;
    unsigned length;
    int error;

    SSL_get0_alpn_selected(ssl, &protocol, &length);
    if (length != strlen(MESH_ALPN) || memcmp(protocol, MESH_ALPN, length) != 0)
        return refuse(given, carrier, TLS_PROBLEM_NOT_MESH, "it has chosen another protocol",
                      X509_V_ERR_APPLICATION_VERIFICATION);
    if (svid_check(X509_STORE_CTX_get0_cert(given), text, &peer, &problem) < 0)
        return refuse(given, carrier, TLS_PROBLEM_NOT_SVID, problem, X509_V_ERR_INVALID_PURPOSE);
    /* X509-SVID 5.1: the leaf is verified with the bundle of the trust domain that it resides in, and no other. */
    bundle = credentials_find_bundle(credentials, &peer);
    if (!bundle)
        return refuse(given, carrier, TLS_PROBLEM_TRUST_DOMAIN, "there is no bundle for its trust domain",
                      X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT);
    if (!verify_chain_once(given, credentials, bundle->store, &carrier->means->verified, &error))
        return refuse(given, carrier, problem_of(error), X509_verify_cert_error_string(error), error);
    if (carrier_set_peer(carrier, &peer) < 0)
        return refuse(given, carrier, TLS_PROBLEM_PROTOCOL, "no memory", X509_V_ERR_OUT_OF_MEM);
    if (!is_expected(carrier, credentials, &peer))
        return refuse(given, carrier, TLS_PROBLEM_IDENTITY, "its identity is not among those expected",
                      X509_V_ERR_APPLICATION_VERIFICATION);
    return true;
}

int verify_on_peer(X509_STORE_CTX *given, void *unused)
{
    SSL *ssl = X509_STORE_CTX_get_ex_data(given, SSL_get_ex_data_X509_STORE_CTX_idx());

    (void)unused;
    return verify(given, ssl, carrier_of(ssl));
}

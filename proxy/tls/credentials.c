#include "proxy/tls/credentials.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/macros.h"
#include "proxy/tls/context.h"

void credential_parts_free(struct credential_parts *parts)
{
    X509_free(parts->certificate);
    sk_X509_pop_free(parts->chain, X509_free);
    EVP_PKEY_free(parts->key);
    sk_X509_CRL_pop_free(parts->crls, X509_CRL_free);
    for (size_t i = 0; i < parts->bundle_count; i++) {
        free(parts->bundles[i].trust_domain);
        X509_STORE_free(parts->bundles[i].store);
    }
    free(parts->bundles);
    *parts = (struct credential_parts){ 0 };
}

static void free_credentials(struct credentials *credentials)
{
    SSL_CTX_free(credentials->context);
    credential_parts_free(&credentials->parts);
    free(credentials);
}

struct credentials *credentials_ref(struct credentials *credentials)
{
    atomic_fetch_add_explicit(&credentials->references, 1, memory_order_relaxed);
    return credentials;
}

void credentials_unref(struct credentials *credentials)
{
    if (credentials && atomic_fetch_sub_explicit(&credentials->references, 1, memory_order_acq_rel) == 1)
        free_credentials(credentials);
}

static int64_t seconds_of(const ASN1_TIME *time)
{
    struct tm parts;

    return time && ASN1_TIME_to_tm(time, &parts) == 1 ? (int64_t)timegm(&parts) : INT64_MAX;
}

static void note_validity(struct credentials *credentials)
{
    const struct credential_parts *parts = &credentials->parts;

    credentials->valid_from_s = seconds_of(X509_get0_notBefore(parts->certificate));
    credentials->valid_until_s = seconds_of(X509_get0_notAfter(parts->certificate));
    for (int i = 0; i < sk_X509_num(parts->chain); i++) {
        const X509 *certificate = sk_X509_value(parts->chain, i);

        credentials->valid_from_s = MAX(credentials->valid_from_s, seconds_of(X509_get0_notBefore(certificate)));
        credentials->valid_until_s = MIN(credentials->valid_until_s, seconds_of(X509_get0_notAfter(certificate)));
    }
    credentials->crls_until_s = INT64_MAX;
    for (int i = 0; i < sk_X509_CRL_num(parts->crls); i++)
        credentials->crls_until_s = MIN(credentials->crls_until_s,
                                        seconds_of(X509_CRL_get0_nextUpdate(sk_X509_CRL_value(parts->crls, i))));
}

static const char *check_identity(struct credentials *credentials, const char *own_id)
{
    const char *problem;

    if (svid_check(credentials->parts.certificate, credentials->identity_text, &credentials->identity, &problem) < 0)
        return problem;
    if (!spiffe_id_is_in(&credentials->identity, credentials->parts.bundles[0].trust_domain))
        return "its SPIFFE ID is not in the trust domain of identity.trust_domain";
    if (own_id && own_id[0] != '\0' &&
        (strlen(own_id) != credentials->identity.length ||
         memcmp(own_id, credentials->identity.text, credentials->identity.length) != 0))
        return "its SPIFFE ID is not the one of identity.spiffe_id";
    return NULL;
}

static const char *use_certificate(struct credentials *credentials)
{
    const struct credential_parts *parts = &credentials->parts;
    SSL_CTX *context = credentials->context;

    if (sk_X509_num(parts->chain) >= CREDENTIALS_MOST_CHAIN)
        return "its chain is longer than peers accept";
    if (SSL_CTX_use_certificate(context, parts->certificate) != 1)
        return "its key is too weak, or of a kind that TLS does not use";
    if (parts->chain && SSL_CTX_set1_chain(context, parts->chain) != 1)
        return "a certificate of its chain is too weak, or malformed";
    if (X509_check_private_key(parts->certificate, parts->key) != 1)
        return "it does not belong to the private key";
    if (SSL_CTX_use_PrivateKey(context, parts->key) != 1)
        return "the private key cannot be used";
    return NULL;
}

int credentials_new(struct credential_parts *parts, const char *own_id, struct credentials **ret_credentials,
                    const char **ret_problem)
{
    static atomic_ulong serials;
    struct credentials *credentials = calloc(1, sizeof *credentials);

    if (!credentials) {
        credential_parts_free(parts);
        return -ENOMEM;
    }
    atomic_init(&credentials->references, 1);
    credentials->serial = atomic_fetch_add(&serials, 1) + 1;
    credentials->parts = *parts;
    *parts = (struct credential_parts){ 0 };
    credentials->context = context_new(credentials);
    if (!credentials->context) {
        ERR_clear_error();
        free_credentials(credentials);
        return -ENOMEM;
    }
    *ret_problem = check_identity(credentials, own_id);
    if (!*ret_problem)
        *ret_problem = use_certificate(credentials);
    ERR_clear_error();
    if (*ret_problem) {
        free_credentials(credentials);
        return -EINVAL;
    }
    note_validity(credentials);
    *ret_credentials = credentials;
    return 0;
}

const struct trust_bundle *credentials_find_bundle(const struct credentials *credentials, const struct spiffe_id *peer)
{
    for (size_t i = 0; i < credentials->parts.bundle_count; i++) {
        if (spiffe_id_is_in(peer, credentials->parts.bundles[i].trust_domain))
            return &credentials->parts.bundles[i];
    }
    return NULL;
}

/* Whether both name the key of one issuer, as far as they name any: two roots may have the same name (RFC 5280, 5.2.1).
 */
static bool has_same_key(X509_CRL *crl, X509 *certificate)
{
    const ASN1_OCTET_STRING *mine = X509_get0_authority_key_id(certificate);
    AUTHORITY_KEYID *key = X509_CRL_get_ext_d2i(crl, NID_authority_key_identifier, NULL, NULL);
    bool is_same = !mine || !key || !key->keyid || ASN1_OCTET_STRING_cmp(mine, key->keyid) == 0;

    AUTHORITY_KEYID_free(key);
    return is_same;
}

static bool lists(X509_CRL *crl, X509 *certificate)
{
    X509_REVOKED *entry;

    if (X509_NAME_cmp(X509_CRL_get_issuer(crl), X509_get_issuer_name(certificate)) != 0 ||
        !has_same_key(crl, certificate))
        return false;
    /* 2 is an entry that takes the revocation back (RFC 5280, 5.3.1: removeFromCRL). */
    return X509_CRL_get0_by_serial(crl, &entry, X509_get_serialNumber(certificate)) == 1;
}

bool credentials_list_as_revoked(const struct credentials *credentials, STACK_OF(X509) * chain)
{
    for (int i = 0; i < sk_X509_num(chain); i++) {
        for (int j = 0; j < sk_X509_CRL_num(credentials->parts.crls); j++) {
            if (lists(sk_X509_CRL_value(credentials->parts.crls, j), sk_X509_value(chain, i)))
                return true;
        }
    }
    return false;
}

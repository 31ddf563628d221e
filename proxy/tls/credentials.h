/*
 * Who this workload is, and whom it trusts: a certificate with its key, a trust bundle for each trust domain,
 * revocation lists; and the TLS context made from them. Where the parts come from is not known here: see
 * credential_files.h.
 *
 * Immutable and reference counted; a rotation makes another one. Thread: any.
 */
#pragma once

#include <openssl/ssl.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proxy/tls/spiffe_id.h"
#include "proxy/tls/svid.h"

#define CREDENTIALS_MOST_CHAIN 4           /* certificates between a peer's and the root, with the peer's own */
#define CREDENTIALS_MOST_BYTES (32 * 1024) /* of the certificates that a peer shows */

/* The roots of one trust domain. */
struct trust_bundle {
    char *trust_domain;
    X509_STORE *store;
    size_t roots;
};

/* What credentials are made of; all of it is taken over by credentials_new(), whatever comes of it. */
struct credential_parts {
    X509 *certificate;
    STACK_OF(X509) * chain; /* behind the certificate, without the root; NULL: none */
    EVP_PKEY *key;
    struct trust_bundle *bundles; /* the own trust domain's first */
    size_t bundle_count;
    STACK_OF(X509_CRL) * crls; /* NULL: revocation is not looked at */
};

struct credentials {
    atomic_uint references;
    unsigned long serial; /* counts up, never 0 */
    SSL_CTX *context;
    struct credential_parts parts;
    char identity_text[SVID_TEXT_SIZE];
    struct spiffe_id identity;           /* the own one */
    int64_t valid_from_s, valid_until_s; /* of the own chain; since the epoch */
    int64_t crls_until_s;                /* when the first of the lists is out of date; INT64_MAX: never */
};

/*
 * own_id           the SPIFFE ID that the certificate must have; "" or NULL: any in the own trust domain
 * ret_credentials  set on success only; release with credentials_unref()
 * ret_problem      set with -EINVAL: what is wrong, static
 * Returns 0, -EINVAL or -ENOMEM. One that has expired, or is not valid yet, is not refused.
 */
int credentials_new(struct credential_parts *parts, const char *own_id, struct credentials **ret_credentials,
                    const char **ret_problem);

struct credentials *credentials_ref(struct credentials *credentials);
void credentials_unref(struct credentials *credentials);

/* Frees what credentials_new() was not asked to take over. */
void credential_parts_free(struct credential_parts *parts);

/* NULL when there is none. */
const struct trust_bundle *credentials_find_bundle(const struct credentials *credentials, const struct spiffe_id *peer);

/* Whether one of the certificates, a peer's chain, is on a revocation list of its issuer. Signatures are not looked at.
 */
bool credentials_list_as_revoked(const struct credentials *credentials, STACK_OF(X509) * chain);

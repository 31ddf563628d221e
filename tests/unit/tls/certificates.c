#include "tests/unit/tls/certificates.h"

#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct authority {
    const char *trust_domain;
    EVP_PKEY *key;
    X509 *certificate;
    long serial;
};

static void add(X509 *certificate, X509 *issuer, int nid, const char *value)
{
    X509_EXTENSION *extension;
    X509V3_CTX about;

    X509V3_set_ctx_nodb(&about);
    X509V3_set_ctx(&about, issuer, certificate, NULL, NULL, 0);
    extension = X509V3_EXT_conf_nid(NULL, &about, nid, value);
    X509_add_ext(certificate, extension, -1);
    X509_EXTENSION_free(extension);
}

static X509 *make(struct authority *authority, EVP_PKEY *key, const char *name, const char *identity, bool is_ca)
{
    X509 *certificate = X509_new(), *issuer = is_ca ? certificate : authority->certificate;
    char uri[2100];

    snprintf(uri, sizeof uri, "critical,URI:%s", identity);
    X509_set_version(certificate, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(certificate), ++authority->serial);
    X509_gmtime_adj(X509_getm_notBefore(certificate), -60);
    X509_gmtime_adj(X509_getm_notAfter(certificate), 3600);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate), "CN", MBSTRING_ASC, (const unsigned char *)name, -1,
                               -1, 0);
    X509_set_issuer_name(certificate, X509_get_subject_name(issuer));
    X509_set_pubkey(certificate, key);
    add(certificate, issuer, NID_basic_constraints, is_ca ? "critical,CA:TRUE" : "critical,CA:FALSE");
    add(certificate, issuer, NID_key_usage, is_ca ? "critical,keyCertSign,cRLSign" : "critical,digitalSignature");
    add(certificate, issuer, NID_subject_key_identifier, "hash");
    if (!is_ca) {
        add(certificate, issuer, NID_authority_key_identifier, "keyid");
        add(certificate, issuer, NID_subject_alt_name, uri);
        add(certificate, issuer, NID_ext_key_usage, "serverAuth,clientAuth");
    }
    X509_sign(certificate, authority->key, EVP_sha256());
    return certificate;
}

struct authority *authority_new(const char *trust_domain)
{
    struct authority *authority = calloc(1, sizeof *authority);

    if (!authority)
        return NULL;
    authority->trust_domain = trust_domain;
    authority->key = EVP_EC_gen("P-256");
    authority->certificate = make(authority, authority->key, "root", "", true);
    return authority;
}

void authority_free(struct authority *authority)
{
    X509_free(authority->certificate);
    EVP_PKEY_free(authority->key);
    free(authority);
}

struct credential_parts authority_issue(struct authority *authority, const char *identity, EVP_PKEY *key)
{
    struct credential_parts parts = { .key = key ? key : EVP_EC_gen("P-256"), .bundle_count = 1 };

    parts.certificate = make(authority, parts.key, "leaf", identity, false);
    parts.bundles = calloc(1, sizeof *parts.bundles);
    parts.bundles[0].trust_domain = strdup(authority->trust_domain);
    parts.bundles[0].store = X509_STORE_new();
    X509_STORE_add_cert(parts.bundles[0].store, authority->certificate);
    parts.bundles[0].roots = 1;
    return parts;
}

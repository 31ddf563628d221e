#include "proxy/tls/credential_files.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/strbuf.h"
#include "proxy/tls/credentials.h"

/* Opens `path` for OpenSSL's readers, which take memory: what they read is a whole file of bounded size. */
static int open_pem(const char *path, char **ret_text, BIO **ret_bio, struct strbuf *problem)
{
    size_t length;
    int r = file_read(path, CREDENTIAL_FILE_MOST_BYTES, ret_text, &length);

    if (r < 0) {
        strbuf_printf(problem, "%s: %s", path, strerror(-r));
        return r;
    }
    *ret_bio = BIO_new_mem_buf(*ret_text, (int)length);
    if (*ret_bio)
        return 0;
    free(*ret_text);
    strbuf_printf(problem, "%s: %s", path, strerror(ENOMEM));
    return -ENOMEM;
}

static void close_pem(char *text, size_t length, BIO *bio)
{
    BIO_free(bio);
    OPENSSL_cleanse(text, length); /* it may be a key */
    free(text);
    ERR_clear_error();
}

/* Nobody is at a terminal to be asked for a password. */
static int no_password(char *text, int size, int is_written, void *unused)
{
    (void)text;
    (void)size;
    (void)is_written;
    (void)unused;
    return 0;
}

/* Whether reading a sequence of PEM blocks has ended because there are no more. */
static bool is_at_end(void)
{
    unsigned long error = ERR_peek_last_error();
    bool is_end = ERR_GET_LIB(error) == ERR_LIB_PEM && ERR_GET_REASON(error) == PEM_R_NO_START_LINE;

    ERR_clear_error();
    return is_end;
}

/* All certificates of a file, in order; there must be one. */
static int read_certificates(const char *path, STACK_OF(X509) * *ret_certificates, struct strbuf *problem)
{
    STACK_OF(X509) *certificates = sk_X509_new_null();
    X509 *certificate;
    BIO *bio;
    char *text;
    int r = open_pem(path, &text, &bio, problem);

    if (r < 0) {
        sk_X509_free(certificates);
        return r;
    }
    r = certificates ? 0 : -ENOMEM;
    while (r == 0 && (certificate = PEM_read_bio_X509(bio, NULL, no_password, NULL))) {
        if (sk_X509_push(certificates, certificate) <= 0) {
            X509_free(certificate);
            r = -ENOMEM;
        }
    }
    if (r == 0 && !is_at_end()) {
        strbuf_printf(problem, "%s: certificate %d in it cannot be read", path, sk_X509_num(certificates) + 1);
        r = -EINVAL;
    } else if (r == 0 && sk_X509_num(certificates) == 0) {
        strbuf_printf(problem, "%s: there is no certificate in it (PEM, -----BEGIN CERTIFICATE-----)", path);
        r = -EINVAL;
    }
    close_pem(text, strlen(text), bio);
    if (r < 0) {
        sk_X509_pop_free(certificates, X509_free);
        return r;
    }
    *ret_certificates = certificates;
    return 0;
}

static int read_own_chain(const char *path, struct credential_parts *parts, struct strbuf *problem)
{
    int r = read_certificates(path, &parts->chain, problem);

    if (r < 0)
        return r;
    parts->certificate = sk_X509_shift(parts->chain);
    return 0;
}

static int read_key(const char *path, EVP_PKEY **ret_key, struct strbuf *problem)
{
    BIO *bio;
    char *text;
    int r = open_pem(path, &text, &bio, problem);

    if (r < 0)
        return r;
    *ret_key = PEM_read_bio_PrivateKey(bio, NULL, no_password, NULL);
    if (!*ret_key) {
        strbuf_printf(problem, "%s: there is no private key in it (PEM, without a password)", path);
        r = -EINVAL;
    }
    close_pem(text, strlen(text), bio);
    return r;
}

static int read_crls(const char *path, STACK_OF(X509_CRL) * *ret_crls, struct strbuf *problem)
{
    X509_CRL *crl;
    BIO *bio;
    char *text;
    int r = open_pem(path, &text, &bio, problem);

    if (r < 0)
        return r;
    *ret_crls = sk_X509_CRL_new_null();
    r = *ret_crls ? 0 : -ENOMEM;
    while (r == 0 && (crl = PEM_read_bio_X509_CRL(bio, NULL, no_password, NULL))) {
        if (sk_X509_CRL_push(*ret_crls, crl) <= 0) {
            X509_CRL_free(crl);
            r = -ENOMEM;
        }
    }
    if (r == 0 && (!is_at_end() || sk_X509_CRL_num(*ret_crls) == 0)) {
        strbuf_printf(problem, "%s: revocation list %d in it cannot be read (PEM, -----BEGIN X509 CRL-----)", path,
                      sk_X509_CRL_num(*ret_crls) + 1);
        r = -EINVAL;
    }
    close_pem(text, strlen(text), bio);
    return r;
}

static int read_bundle(const char *trust_domain, const char *path, struct trust_bundle *bundle, struct strbuf *problem)
{
    STACK_OF(X509) * roots;
    int r = read_certificates(path, &roots, problem);

    if (r < 0)
        return r;
    bundle->trust_domain = strdup(trust_domain);
    bundle->store = X509_STORE_new();
    bundle->roots = (size_t)sk_X509_num(roots);
    r = bundle->trust_domain && bundle->store ? 0 : -ENOMEM;
    for (int i = 0; r == 0 && i < sk_X509_num(roots); i++) {
        if (X509_STORE_add_cert(bundle->store, sk_X509_value(roots, i)) != 1)
            r = -ENOMEM;
    }
    sk_X509_pop_free(roots, X509_free);
    return r;
}

static int read_bundles(const struct identity_config *config, struct credential_parts *parts, struct strbuf *problem)
{
    int r;

    parts->bundles = calloc(config->federation.count + 1, sizeof *parts->bundles);
    if (!parts->bundles)
        return -ENOMEM;
    parts->bundle_count = config->federation.count + 1;
    r = read_bundle(config->trust_domain, config->trust_bundle, &parts->bundles[0], problem);
    for (size_t i = 0; r == 0 && i < config->federation.count; i++) {
        const struct federation_config *other = &config->federation.items[i];

        r = read_bundle(other->trust_domain, other->trust_bundle, &parts->bundles[i + 1], problem);
    }
    return r;
}

int credential_files_load(const struct identity_config *config, struct credentials **ret_credentials,
                          struct strbuf *problem)
{
    struct credential_parts parts = { 0 };
    const char *what;
    int r;

    r = read_own_chain(config->certificate, &parts, problem);
    if (r == 0)
        r = read_key(config->private_key, &parts.key, problem);
    if (r == 0)
        r = read_bundles(config, &parts, problem);
    if (r == 0 && config->crl)
        r = read_crls(config->crl, &parts.crls, problem);
    if (r < 0) {
        credential_parts_free(&parts);
        if (problem->length == 0)
            strbuf_append(problem, strerror(-r));
        return r;
    }
    r = credentials_new(&parts, config->spiffe_id, ret_credentials, &what);
    if (r == -EINVAL)
        strbuf_printf(problem, "%s: %s", config->certificate, what);
    else if (r < 0)
        strbuf_append(problem, strerror(-r));
    return r;
}

size_t credential_files_list(const struct identity_config *config, const char **ret_paths, size_t most)
{
    const char *own[] = { config->certificate, config->private_key, config->trust_bundle, config->crl };
    size_t count = 0;

    for (size_t i = 0; i < sizeof own / sizeof own[0]; i++) {
        if (own[i] && count < most)
            ret_paths[count++] = own[i];
    }
    for (size_t i = 0; i < config->federation.count && count < most; i++)
        ret_paths[count++] = config->federation.items[i].trust_bundle;
    return count;
}

#include "inject/self_signed.h"

#include <errno.h>
#include <openssl/bn.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>

#define CLOCK_SKEW_S 300 /* the API server's clock may be behind */

static bool add_extension(X509 *certificate, int kind, const char *text)
{
    X509V3_CTX issuer;
    X509_EXTENSION *extension;
    bool added;

    X509V3_set_ctx(&issuer, certificate, certificate, NULL, NULL, 0);
    extension = X509V3_EXT_conf_nid(NULL, &issuer, kind, text);
    added = extension && X509_add_ext(certificate, extension, -1) == 1;
    X509_EXTENSION_free(extension);
    return added;
}

/* RFC 5280, 4.1.2.2: positive, and no other one of this issuer has it. */
static bool set_serial(X509 *certificate)
{
    BIGNUM *number = BN_new();
    bool set = number && BN_rand(number, 127, BN_RAND_TOP_ONE, BN_RAND_BOTTOM_ANY) == 1 &&
               BN_to_ASN1_INTEGER(number, X509_get_serialNumber(certificate));

    BN_free(number);
    return set;
}

static bool fill(X509 *certificate, EVP_PKEY *key, const char *name, time_t now_s)
{
    X509_NAME *subject = X509_get_subject_name(certificate);
    time_t begins_s = now_s - CLOCK_SKEW_S, ends_s = now_s + SELF_SIGNED_DAYS * 86400L;
    char names[300];

    snprintf(names, sizeof names, "DNS:%.253s", name);
    /* The common name has at most 64 characters (RFC 5280, ub-common-name); the alternative name is what counts. */
    return X509_set_version(certificate, X509_VERSION_3) == 1 && set_serial(certificate) &&
           X509_time_adj_ex(X509_getm_notBefore(certificate), 0, 0, &begins_s) &&
           X509_time_adj_ex(X509_getm_notAfter(certificate), 0, 0, &ends_s) &&
           X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, (const unsigned char *)"outrigger-injector", -1, -1,
                                      0) == 1 &&
           X509_set_issuer_name(certificate, subject) == 1 && X509_set_pubkey(certificate, key) == 1 &&
           add_extension(certificate, NID_subject_alt_name, names) &&
           add_extension(certificate, NID_basic_constraints, "critical,CA:FALSE") &&
           add_extension(certificate, NID_key_usage, "critical,digitalSignature") &&
           add_extension(certificate, NID_ext_key_usage, "serverAuth") && X509_sign(certificate, key, EVP_sha256()) > 0;
}

static void append(BIO *pem, struct strbuf *text)
{
    char *bytes;
    long length = BIO_get_mem_data(pem, &bytes);

    strbuf_append_bytes(text, bytes, (size_t)length);
}

int self_signed_make(const char *name, time_t now_s, struct strbuf *certificate, struct strbuf *key)
{
    EVP_PKEY *pair = EVP_EC_gen("P-256");
    X509 *made = X509_new();
    BIO *certificate_pem = BIO_new(BIO_s_mem()), *key_pem = BIO_new(BIO_s_mem());
    bool ok = pair && made && certificate_pem && key_pem && fill(made, pair, name, now_s) &&
              PEM_write_bio_X509(certificate_pem, made) == 1 &&
              PEM_write_bio_PKCS8PrivateKey(key_pem, pair, NULL, NULL, 0, NULL, NULL) == 1;

    if (ok) {
        append(certificate_pem, certificate);
        append(key_pem, key);
    }
    BIO_free(certificate_pem);
    BIO_free(key_pem);
    X509_free(made);
    EVP_PKEY_free(pair);
    return ok && !strbuf_failed(certificate) && !strbuf_failed(key) ? 0 : -ENOMEM;
}

static time_t seconds_of(const ASN1_TIME *time)
{
    struct tm parts;

    return ASN1_TIME_to_tm(time, &parts) == 1 ? timegm(&parts) : 0;
}

bool self_signed_look(const char *certificate, const char *key, const char *name, struct pem_facts *ret_facts)
{
    BIO *certificate_pem = BIO_new_mem_buf(certificate, -1), *key_pem = key ? BIO_new_mem_buf(key, -1) : NULL;
    X509 *read = certificate_pem ? PEM_read_bio_X509(certificate_pem, NULL, NULL, NULL) : NULL;
    EVP_PKEY *pair = key_pem ? PEM_read_bio_PrivateKey(key_pem, NULL, NULL, NULL) : NULL;

    if (read)
        *ret_facts = (struct pem_facts){ .begins_s = seconds_of(X509_get0_notBefore(read)),
                                         .ends_s = seconds_of(X509_get0_notAfter(read)),
                                         .fits_name = X509_check_host(read, name, 0, 0, NULL) == 1,
                                         .fits_key = pair && X509_check_private_key(read, pair) == 1 };
    EVP_PKEY_free(pair);
    BIO_free(key_pem);
    BIO_free(certificate_pem);
    X509_free(read);
    return read != NULL;
}

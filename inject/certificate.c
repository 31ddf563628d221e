#include "inject/certificate.h"

#include <errno.h>
#include <openssl/asn1.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <string.h>
#include <time.h>

#include "base/log.h"

#define LOOK_EVERY_MS 1000

static double expiry_of(SSL_CTX *tls)
{
    const X509 *own = SSL_CTX_get0_certificate(tls);
    struct tm time = { 0 };

    if (!own || ASN1_TIME_to_tm(X509_get0_notAfter(own), &time) != 1)
        return 0;
    return (double)timegm(&time);
}

static const char *problem(void)
{
    unsigned long error = ERR_peek_error();
    const char *reason = ERR_reason_error_string(error);

    if (ERR_SYSTEM_ERROR(error))
        return strerror(ERR_GET_REASON(error));
    return reason ? reason : "not understood";
}

/* NULL after saying why. */
static SSL_CTX *load(const struct certificate *certificate)
{
    SSL_CTX *tls = SSL_CTX_new(TLS_server_method());
    const char *path = certificate->certificate_path;
    bool ok;

    if (!tls)
        return NULL;
    ERR_clear_error();
    SSL_CTX_set_min_proto_version(tls, TLS1_2_VERSION);
    SSL_CTX_set_options(tls, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
    SSL_CTX_set_mode(tls, SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_session_cache_mode(tls, SSL_SESS_CACHE_OFF);
    ok = SSL_CTX_use_certificate_chain_file(tls, path) == 1;
    if (ok) {
        path = certificate->key_path;
        ok = SSL_CTX_use_PrivateKey_file(tls, path, SSL_FILETYPE_PEM) == 1 && SSL_CTX_check_private_key(tls) == 1;
    }
    if (ok)
        return tls;
    log_error("%s: %s%s", path, problem(), certificate->tls ? "; the certificate in force stays" : "");
    SSL_CTX_free(tls);
    return NULL;
}

/* Whether a file is another than it was; both are seen now. */
static bool have_changed(struct certificate *certificate)
{
    struct file_identity one, other;
    bool changed;

    file_identify(certificate->certificate_path, &one);
    file_identify(certificate->key_path, &other);
    changed = !file_identity_equals(&one, &certificate->certificate_seen) ||
              !file_identity_equals(&other, &certificate->key_seen);
    certificate->certificate_seen = one;
    certificate->key_seen = other;
    return changed;
}

static void take(struct certificate *certificate)
{
    SSL_CTX *tls = load(certificate);

    certificate->loads += tls != NULL;
    certificate->failures += tls == NULL;
    if (!tls)
        return;
    SSL_CTX_free(certificate->tls);
    certificate->tls = tls;
    certificate->expires_s = expiry_of(tls);
    log_info("%s: in force for new connections", certificate->certificate_path);
}

int certificate_init(struct certificate *certificate, const char *certificate_path, const char *key_path)
{
    *certificate = (struct certificate){ .certificate_path = certificate_path, .key_path = key_path };
    have_changed(certificate);
    take(certificate);
    return certificate->tls ? 0 : -EINVAL;
}

void certificate_done(struct certificate *certificate)
{
    SSL_CTX_free(certificate->tls);
    certificate->tls = NULL;
}

SSL_CTX *certificate_get(struct certificate *certificate, uint64_t now_ms)
{
    if (now_ms - certificate->looked_ms >= LOOK_EVERY_MS) {
        certificate->looked_ms = now_ms;
        if (have_changed(certificate))
            take(certificate);
    }
    return certificate->tls;
}

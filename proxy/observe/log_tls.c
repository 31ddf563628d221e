#include "proxy/observe/log_tls.h"

#include <arpa/inet.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdlib.h>

struct log_tls {
    SSL *ssl;
    int waits_for; /* SSL_ERROR_WANT_… */
};

static bool expect(SSL *ssl, char *server_name)
{
    unsigned char address[16];

    if (inet_pton(AF_INET, server_name, address) == 1 || inet_pton(AF_INET6, server_name, address) == 1)
        return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), server_name) == 1;
    return SSL_set1_host(ssl, server_name) == 1 && SSL_set_tlsext_host_name(ssl, server_name) == 1;
}

struct log_tls *log_tls_new(int fd, const char *trust_bundle, char *server_name, const char **ret_problem)
{
    struct log_tls *tls = calloc(1, sizeof *tls);
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());

    *ret_problem = "no memory";
    if (!tls || !context)
        goto failed;
    SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_mode(context,
                     SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
    if (SSL_CTX_load_verify_file(context, trust_bundle) != 1) {
        *ret_problem = "trust_bundle cannot be read, or has no certificate";
        goto failed;
    }
    tls->ssl = SSL_new(context);
    if (!tls->ssl || SSL_set_fd(tls->ssl, fd) != 1 || !server_name || !expect(tls->ssl, server_name))
        goto failed;
    SSL_set_connect_state(tls->ssl);
    SSL_CTX_free(context);
    return tls;
failed:
    ERR_clear_error();
    SSL_CTX_free(context);
    log_tls_free(tls);
    return NULL;
}

void log_tls_free(struct log_tls *tls)
{
    if (tls && tls->ssl && SSL_is_init_finished(tls->ssl))
        SSL_shutdown(tls->ssl);
    if (tls)
        SSL_free(tls->ssl);
    ERR_clear_error();
    free(tls);
}

/* -EAGAIN, 0 at the orderly end, or another negative errno. */
static int translate(struct log_tls *tls, int result)
{
    int saved = errno, error = SSL_get_error(tls->ssl, result);

    ERR_clear_error();
    tls->waits_for = error;
    switch (error) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE:
        return -EAGAIN;
    case SSL_ERROR_ZERO_RETURN:
        return 0;
    case SSL_ERROR_SYSCALL:
        return saved > 0 ? -saved : -ECONNRESET;
    default:
        return -EPROTO;
    }
}

int log_tls_handshake(struct log_tls *tls, const char **ret_problem)
{
    int result = SSL_do_handshake(tls->ssl), r;
    const char *reason;
    long verdict;

    if (result == 1)
        return 0;
    reason = ERR_reason_error_string(ERR_peek_error());
    r = translate(tls, result);
    if (r == -EAGAIN)
        return r;
    verdict = SSL_get_verify_result(tls->ssl);
    *ret_problem = verdict != X509_V_OK ? X509_verify_cert_error_string(verdict)
                   : reason             ? reason
                                        : "the TLS handshake was cut off";
    return -EPROTO;
}

bool log_tls_wants_write(const struct log_tls *tls)
{
    return tls->waits_for == SSL_ERROR_WANT_WRITE;
}

ssize_t log_tls_write(struct log_tls *tls, const void *bytes, size_t length)
{
    size_t written;
    int result = SSL_write_ex(tls->ssl, bytes, length, &written), r;

    if (result == 1)
        return (ssize_t)written;
    r = translate(tls, result);
    return r == 0 ? -EPIPE : r;
}

ssize_t log_tls_read(struct log_tls *tls, void *bytes, size_t size)
{
    size_t got;
    int result = SSL_read_ex(tls->ssl, bytes, size, &got);

    return result == 1 ? (ssize_t)got : translate(tls, result);
}

#include "inject/api_client.h"

#include <arpa/inet.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "base/file.h"

#define MOST_TOKEN  (64 * 1024)
#define MOST_ANSWER (4UL * 1024 * 1024)
#define TIMEOUT_S   20

static int fail(const char *what, const char *problem, int error)
{
    fprintf(stderr, "outrigger-inject: %s: %s\n", what, problem);
    return error;
}

static const char *tls_problem(const SSL *ssl)
{
    long verified = ssl ? SSL_get_verify_result(ssl) : X509_V_OK;
    const char *reason = ERR_reason_error_string(ERR_peek_error());

    if (verified != X509_V_OK)
        return X509_verify_cert_error_string(verified);
    return reason ? reason : errno ? strerror(errno) : "closed";
}

static int read_account(struct api_client *client, const char *account)
{
    char path[512];
    size_t length;
    int r;

    snprintf(path, sizeof path, "%s/token", account);
    r = file_read(path, MOST_TOKEN, &client->token, &length);
    if (r < 0)
        return fail(path, strerror(-r), r);
    client->token[strcspn(client->token, "\r\n")] = '\0';
    client->tls = SSL_CTX_new(TLS_client_method());
    if (!client->tls)
        return -ENOMEM;
    SSL_CTX_set_min_proto_version(client->tls, TLS1_2_VERSION);
    SSL_CTX_set_verify(client->tls, SSL_VERIFY_PEER, NULL);
    snprintf(path, sizeof path, "%s/ca.crt", account);
    if (SSL_CTX_load_verify_locations(client->tls, path, NULL) != 1)
        return fail(path, "no certificates could be read", -EINVAL);
    return 0;
}

int api_client_init(struct api_client *client, const char *account)
{
    const char *host = getenv("KUBERNETES_SERVICE_HOST"), *port = getenv("KUBERNETES_SERVICE_PORT");
    int r;

    *client = (struct api_client){ .token = NULL };
    if (!host || !port)
        return fail("KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT", "not set; this runs in a pod", -EINVAL);
    snprintf(client->authority, sizeof client->authority, strchr(host, ':') ? "[%.200s]:%.16s" : "%.200s:%.16s", host,
             port);
    r = read_account(client, account);
    if (r < 0)
        api_client_done(client);
    return r;
}

void api_client_done(struct api_client *client)
{
    free(client->token);
    SSL_CTX_free(client->tls);
    *client = (struct api_client){ .token = NULL };
}

/* The address, or the name, must be the certificate's. */
static bool expect_host(SSL *ssl, const char *authority)
{
    const char *colon = strrchr(authority, ':');
    unsigned char address[sizeof(struct in6_addr)];
    char host[256];

    snprintf(host, sizeof host, "%.*s", (int)(colon - authority), authority);
    if (host[0] == '[') {
        memmove(host, host + 1, strlen(host));
        host[strcspn(host, "]")] = '\0';
    }
    if (inet_pton(AF_INET, host, address) == 1 || inet_pton(AF_INET6, host, address) == 1)
        return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), host) == 1;
    return SSL_set1_host(ssl, host) == 1 && SSL_set_tlsext_host_name(ssl, host) == 1;
}

/* No call on the connection takes longer than this. */
static void limit_time(BIO *connection)
{
    const struct timeval timeout = { .tv_sec = TIMEOUT_S };
    int fd = -1;

    if (BIO_get_fd(connection, &fd) < 0)
        return;
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof timeout);
}

/* HTTP/1.0, so that the answer ends with the connection and comes in one piece (RFC 9112, 6.3). */
static bool send_request(BIO *connection, const struct api_client *client, const char *method, const char *path,
                         const char *content_type, const char *body)
{
    size_t length = body ? strlen(body) : 0;
    struct strbuf text;
    bool sent;

    strbuf_init(&text, MOST_ANSWER);
    strbuf_printf(&text, "%s %s HTTP/1.0\r\nHost: %s\r\nAuthorization: Bearer %s\r\nAccept: application/json\r\n",
                  method, path, client->authority, client->token);
    if (body)
        strbuf_printf(&text, "Content-Type: %s\r\nContent-Length: %zu\r\n", content_type, length);
    strbuf_append(&text, "\r\n");
    if (body)
        strbuf_append_bytes(&text, body, length);
    sent = !strbuf_failed(&text) && BIO_write(connection, text.text, (int)text.length) == (int)text.length;
    strbuf_done(&text);
    return sent;
}

/* Returns the status, or a negative errno. */
static int receive(BIO *connection, struct strbuf *answer)
{
    struct strbuf text;
    char bytes[4096];
    const char *body;
    int n, status = -EPROTO;

    strbuf_init(&text, MOST_ANSWER);
    while ((n = BIO_read(connection, bytes, sizeof bytes)) > 0)
        strbuf_append_bytes(&text, bytes, (size_t)n);
    body = strstr(text.text, "\r\n\r\n");
    if (!strbuf_failed(&text) && body && strncmp(text.text, "HTTP/1.", 7) == 0 && strlen(text.text) > 12) {
        status = atoi(text.text + 9);
        strbuf_append(answer, body + 4);
    }
    strbuf_done(&text);
    return status > 0 ? status : -EPROTO;
}

/* BIO_set_conn_hostname(), which copies it, but takes it without const. */
static long set_target(BIO *connection, const char *authority)
{
    return BIO_ctrl(connection, BIO_C_SET_CONNECT, 0, (void *)(uintptr_t)authority);
}

int api_client_request(const struct api_client *client, const char *method, const char *path, const char *content_type,
                       const char *body, struct strbuf *answer)
{
    BIO *connection = BIO_new_ssl_connect(client->tls);
    SSL *ssl = NULL;
    int r;

    if (!connection)
        return -ENOMEM;
    BIO_get_ssl(connection, &ssl);
    ERR_clear_error();
    errno = 0;
    if (!ssl || !expect_host(ssl, client->authority) || set_target(connection, client->authority) != 1)
        r = -ENOMEM;
    else if (BIO_do_connect(connection) != 1)
        r = fail(client->authority, tls_problem(ssl), -ECONNREFUSED);
    else {
        limit_time(connection);
        if (BIO_do_handshake(connection) != 1 || !send_request(connection, client, method, path, content_type, body))
            r = fail(client->authority, tls_problem(ssl), -EPROTO);
        else
            r = receive(connection, answer);
        if (r == -EPROTO)
            fail(client->authority, "the answer is not understood", r);
    }
    BIO_free_all(connection);
    return r;
}

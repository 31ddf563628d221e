/*
 * The Kubernetes API from inside a pod: the service account's token and authority, a request at a time, blocking. For
 * the few calls of a one-shot job.
 */
#pragma once

#include <openssl/types.h>

#include "base/strbuf.h"

#define API_ACCOUNT "/var/run/secrets/kubernetes.io/serviceaccount"

struct api_client {
    char authority[300]; /* HOST:PORT */
    char *token;
    SSL_CTX *tls;
};

/*
 * Reads KUBERNETES_SERVICE_HOST and _PORT, and token and ca.crt in the directory `account`.
 * Returns 0, or a negative errno after saying on standard error what is missing.
 */
int api_client_init(struct api_client *client, const char *account);
void api_client_done(struct api_client *client);

/*
 * Makes one request. `body` NULL: none.
 *
 * answer  its body is appended
 * Returns the HTTP status, or a negative errno after saying on standard error what happened.
 */
int api_client_request(const struct api_client *client, const char *method, const char *path, const char *content_type,
                       const char *body, struct strbuf *answer);

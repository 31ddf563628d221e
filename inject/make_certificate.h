/*
 * The webhook's certificate without cert-manager: a one-shot job makes a self-signed one, writes it into a Secret and
 * tells the API server whom to believe (caBundle). Run again, it does nothing while the certificate is good for another
 * 30 days; then it makes the next. The API server believes both before the webhook has the new one, and the old one no
 * more an hour later, so that no admission fails meanwhile.
 */
#pragma once

struct make_certificate_settings {
    const char *service;               /* the name that the API server calls: SERVICE.NAMESPACE.svc */
    const char *secret;                /* NAMESPACE/NAME */
    const char *webhook_configuration; /* the MutatingWebhookConfiguration's name */
    const char *account;               /* the directory of the service account's token; NULL: the usual one */
};

/* Returns the exit code: 0, or 1 after saying on standard error what is wrong. */
int make_certificate(const struct make_certificate_settings *settings);

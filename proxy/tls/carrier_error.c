/* What OpenSSL says is wrong, in our words. */
#include <openssl/err.h>
#include <openssl/sslerr.h>

#include "proxy/tls/carrier_private.h"

/* What is in OpenSSL's queue of errors, which is empty afterwards. */
void carrier_note_error(struct carrier *carrier)
{
    unsigned long error = ERR_peek_error();
    int reason = ERR_GET_REASON(error);
    const char *text = ERR_reason_error_string(error);

    ERR_clear_error();
    if (!text)
        text = "an error without a name";
    switch (reason) {
    case SSL_R_WRONG_VERSION_NUMBER:
    case SSL_R_HTTP_REQUEST:
    case SSL_R_HTTPS_PROXY_REQUEST:
    case SSL_R_PACKET_LENGTH_TOO_LONG:
        carrier_fail(carrier, carrier->met_mesh ? TLS_PROBLEM_PROTOCOL : TLS_PROBLEM_NOT_TLS, text);
        return;
    case SSL_R_UNSUPPORTED_PROTOCOL:
    case SSL_R_TLSV1_ALERT_PROTOCOL_VERSION:
        carrier_fail(carrier, TLS_PROBLEM_VERSION, text);
        return;
    case SSL_R_NO_APPLICATION_PROTOCOL:
    case SSL_R_TLSV1_ALERT_NO_APPLICATION_PROTOCOL:
        carrier_fail(carrier, TLS_PROBLEM_NOT_MESH, text);
        return;
    case SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE:
        carrier_fail(carrier, TLS_PROBLEM_NO_CERTIFICATE, text);
        return;
    case SSL_R_EXCESSIVE_MESSAGE_SIZE:
        carrier_fail(carrier, TLS_PROBLEM_UNTRUSTED, "its certificates are too long");
        return;
    default:
        carrier_fail(carrier, reason >= SSL_AD_REASON_OFFSET ? TLS_PROBLEM_REFUSED : TLS_PROBLEM_PROTOCOL, text);
        return;
    }
}

/*
 * Whether a certificate may say who a workload is: the rules of SPIFFE's X509-SVID beyond a valid chain, which is
 * verified apart from this.
 */
#pragma once

#include <openssl/x509.h>

#include "proxy/tls/spiffe_id.h"

/* Room for an identity's text, with a terminator. */
#define SVID_TEXT_SIZE (SPIFFE_ID_MOST_BYTES + 1)

/*
 * text         SVID_TEXT_SIZE bytes, which ret_id borrows
 * ret_id       set on success only
 * ret_problem  set otherwise: what is wrong, static
 * Returns 0, -EINVAL or -ENOMEM. Pure.
 */
int svid_check(X509 *certificate, char *text, struct spiffe_id *ret_id, const char **ret_problem);

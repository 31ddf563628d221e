/* The rules of TLS between sidecars, as a context of OpenSSL: the same for who dials and who accepts. */
#pragma once

#include <openssl/ssl.h>

/* SSL_CTX_set_security_level(3): 112 bits, so no RSA below 2048, no curve below 224 bits, no SHA-1. */
#define CONTEXT_SECURITY_LEVEL 2

struct credentials;

/*
 * TLS 1.3 only, mutual, no tickets, no cache, no early data. The certificate is not set yet. The context knows
 * `credentials`, which owns it.
 * Returns NULL without memory.
 */
SSL_CTX *context_new(struct credentials *credentials);

/* Whose context it is. */
struct credentials *context_credentials(const SSL_CTX *context);

/*
 * The library context of OpenSSL in which sidecars' TLS lives. It is the default provider with fewer decoders. To parse
 * the key of a peer's certificate, OpenSSL 3.0 goes through all that it has, some sixty; only those for a
 * SubjectPublicKeyInfo can ever fit (RFC 5280, 4.1). Measured: 91 us a certificate without and 33 us with it.
 *
 * Private keys cannot be read in it; those of the default context can be used.
 */
#pragma once

#include <openssl/types.h>

/*
 * Made at the first call, for as long as the process lives. Any thread.
 * Returns NULL, which is OpenSSL's default context, where that one is restricted to FIPS algorithms (provider-base(7))
 * or when this one cannot be made; all works the same there.
 */
OSSL_LIB_CTX *library_context(void);

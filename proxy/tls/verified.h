/*
 * Chains that were verified lately: the same bytes again are believed without another look at their signatures, for as
 * long as every certificate in them is valid, and no longer than the credentials that they were verified with are in
 * force. That the peer has the key is proven in each handshake all the same. Verifying two chains is a quarter of a
 * mutual handshake's cost (docs/decisions/0013).
 *
 * Owner: a worker. Thread: the worker's.
 */
#pragma once

#include <openssl/x509.h>
#include <stdbool.h>
#include <stdint.h>

#define VERIFIED_MOST  512 /* chains */
#define VERIFIED_BYTES 32  /* SHA-256 */

struct verified_chain {
    uint8_t digest[VERIFIED_BYTES]; /* of the whole chain */
    unsigned long serial;           /* of the credentials; 0: the place is free */
    int64_t valid_until_s;          /* since the epoch */
};

struct verified {
    struct verified_chain chains[VERIFIED_MOST];
};

/* Returns false when it cannot be told; then the chain is verified. */
bool verified_digest(X509 *leaf, STACK_OF(X509) * others, uint8_t *ret_digest);

bool verified_knows(const struct verified *verified, const uint8_t *digest, unsigned long serial, int64_t now_s);

/* `chain` as it was verified, with the root. In the place of whoever has it: a hostile peer has no valid chain. */
void verified_add(struct verified *verified, const uint8_t *digest, unsigned long serial, STACK_OF(X509) * chain);

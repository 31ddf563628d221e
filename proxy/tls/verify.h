/*
 * Whether a peer is who it says: the certificate that it shows in a handshake is an X509-SVID, leads to a root of its
 * own trust domain, is valid now and not revoked, and has an identity that is expected.
 *
 * Thread: the handshake's.
 */
#pragma once

#include <openssl/x509_vfy.h>

/* OpenSSL's callback in place of its own verification; tells the carrier what it has found. */
int verify_on_peer(X509_STORE_CTX *given, void *unused);

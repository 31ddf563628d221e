/*
 * What was wrong with a TLS handshake: one of these, for metric labels, log and docs/security.md; beside it a text that
 * says more. The names are stable within configuration version 1.
 */
#pragma once

/* X(constant, metric label, meaning) */
#define TLS_PROBLEMS(X)                                                                                              \
    X(NONE, "none", "Nothing.")                                                                                      \
    X(NO_CREDENTIALS, "no_credentials", "This proxy has no certificate of its own yet.")                             \
    X(NOT_TLS, "not_tls", "The peer does not speak TLS.")                                                            \
    X(VERSION, "version", "The peer does not speak TLS 1.3.")                                                        \
    X(NOT_MESH, "not_mesh", "The peer speaks TLS, but not the mesh protocol.")                                       \
    X(PROTOCOL, "protocol", "The peer broke the rules of TLS or of the mesh protocol.")                              \
    X(CUT, "cut", "The peer ended the connection in the middle of the handshake.")                                   \
    X(TIMEOUT, "timeout", "The handshake was not done in time.")                                                     \
    X(REFUSED, "refused", "The peer has refused, by an alert; nearly always this proxy's certificate.")              \
    X(NO_CERTIFICATE, "no_certificate", "The peer has shown no certificate.")                                        \
    X(NOT_SVID, "not_svid", "The peer's certificate breaks a rule of X509-SVID.")                                    \
    X(TRUST_DOMAIN, "trust_domain", "There is no trust bundle for the trust domain of the peer's identity.")         \
    X(UNTRUSTED, "untrusted", "The peer's certificate does not lead to a root of its trust domain.")                 \
    X(EXPIRED, "expired", "A certificate of the peer's chain has expired.")                                          \
    X(NOT_YET_VALID, "not_yet_valid", "A certificate of the peer's chain is not valid yet.")                         \
    X(REVOKED, "revoked", "A certificate of the peer's chain has been revoked.")                                     \
    X(CRL, "crl", "Whether a certificate of the peer's chain was revoked cannot be told: there is no current list.") \
    X(IDENTITY, "identity", "The peer is somebody else than tls.peer_identities allow.")

enum tls_problem {
#define X(constant, label, meaning) TLS_PROBLEM_##constant,
    TLS_PROBLEMS(X)
#undef X
        TLS_PROBLEM_COUNT
};

const char *tls_problem_name(enum tls_problem problem);
const char *tls_problem_meaning(enum tls_problem problem);

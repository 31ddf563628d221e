/* A carrier's inside, for those parts of it that are in other files. */
#pragma once

#include <openssl/ssl.h>

#include "proxy/tls/carrier.h"

#define CARRIER_LARGEST_RECORD (16 * 1024) /* RFC 8446, 5.1 */

#define CARRIER_NOT_ENDED 1

struct carrier {
    SSL *ssl;
    uint64_t began_ms;
    struct carrier_means *means;
    struct credentials *credentials;
    const struct name_list *expected; /* during a call of carrier_handshake() */
    char *peer_text;
    struct spiffe_id peer;
    const unsigned char *in; /* fed, and not taken by OpenSSL yet; during a call in the means, between calls in stash */
    size_t in_left;
    unsigned char *stash;
    unsigned char *owed; /* encrypted, and not taken by the kernel yet */
    size_t owed_at, owed_end;
    size_t silent_bytes; /* fed since something came out last */
    int end; /* what reads end with, once there are no more bytes: 0 for the orderly end, a negative errno; 1: not yet
              */
    enum tls_problem problem;
    const char *detail;
    bool is_done;     /* the handshake */
    bool owes_status; /* of who accepts: the status of the mesh protocol */
    bool met_mesh;
    bool is_finished; /* close_notify is made */
};

struct carrier *carrier_of(const SSL *ssl);

/* Copies who the peer is. Returns 0 or -ENOMEM. */
int carrier_set_peer(struct carrier *carrier, const struct spiffe_id *peer);

/* OpenSSL's way to the bytes. Returns NULL without memory. */
BIO *carrier_bio_new(struct carrier *carrier);

/* Notes what is in OpenSSL's queue of errors, which is empty afterwards. */
void carrier_note_error(struct carrier *carrier);

/* Feeds up to `most` bytes. Returns how many, 0 at the end of the descriptor, or a negative errno. */
ssize_t carrier_feed(struct carrier *carrier, int fd, size_t most);

/* What was fed and not taken stays for the next call. Returns 0 or -ENOMEM, which is then how reading ends. */
int carrier_stash(struct carrier *carrier);

/* Sends what OpenSSL has made, or owes it. Returns 0 or a negative errno; the means are empty in any case. */
int carrier_send_made(struct carrier *carrier, int fd, bool more);

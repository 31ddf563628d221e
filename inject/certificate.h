/*
 * The webhook's certificate: PEM files that may change at any time, as a mounted Secret does. Each new connection gets
 * what is there; a pair that does not fit, or cannot be read, changes nothing and is told of.
 *
 * Thread: any one at a time.
 */
#pragma once

#include <openssl/types.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/file.h"

struct certificate {
    const char *certificate_path, *key_path; /* borrowed */
    struct file_identity certificate_seen, key_seen;
    SSL_CTX *tls; /* NULL: none could be read so far */
    uint64_t looked_ms;
    double expires_s; /* seconds since the epoch; 0: not known */
    unsigned long loads, failures;
};

/* Returns 0, or -EINVAL after saying what is wrong in the log: then there is none. */
int certificate_init(struct certificate *certificate, const char *certificate_path, const char *key_path);
void certificate_done(struct certificate *certificate);

/* What connections speak TLS with; the files are looked at again, at most every second. */
SSL_CTX *certificate_get(struct certificate *certificate, uint64_t now_ms);

/* A key and a certificate for it by itself (ECDSA P-256), for one name; and what others are worth. Pure but for time.
 */
#pragma once

#include <stdbool.h>
#include <time.h>

#include "base/strbuf.h"

#define SELF_SIGNED_DAYS 90

/* Appends both as PEM. Returns 0 or -ENOMEM. */
int self_signed_make(const char *name, time_t now_s, struct strbuf *certificate, struct strbuf *key);

struct pem_facts {
    time_t begins_s, ends_s;
    bool fits_name, fits_key;
};

/* Of the first certificate in `certificate`. `key` NULL: fits_key is false. Returns whether there is one. */
bool self_signed_look(const char *certificate, const char *key, const char *name, struct pem_facts *ret_facts);

/* A throw-away authority in memory, and credentials of it. */
#pragma once

#include "proxy/tls/credentials.h"

struct authority;

/* NULL when it cannot be made. */
struct authority *authority_new(const char *trust_domain);
void authority_free(struct authority *authority);

/*
 * An SVID of that identity, valid for an hour, and the authority's own bundle. For credentials_new(). `key` goes into
 * what is returned; NULL: a new one on P-256.
 */
struct credential_parts authority_issue(struct authority *authority, const char *identity, EVP_PKEY *key);

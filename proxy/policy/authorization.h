/*
 * Whether somebody may reach the app: the configuration's rules, in their order, the first that matches. Pure.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "proxy/config/model.h"
#include "proxy/tls/spiffe_id.h"

/* No rule has matched: everybody may where there are none, nobody where there are some. */
#define AUTHORIZATION_NO_RULE ((size_t)-1)

struct authorization_subject {
    const struct spiffe_id *identity; /* as proven; NULL: a plaintext peer, who matches no identity */
    const struct sockaddr *source;    /* AF_UNSPEC: not known, which is in no block */
    uint16_t port;                    /* the app's */
};

/* Whether the subject might be allowed if it proved some identity; its own is not looked at. */
bool authorization_may_allow(const struct config *config, const struct authorization_subject *subject);

/* ret_rule: the one that decided, or AUTHORIZATION_NO_RULE */
bool authorization_allows(const struct config *config, const struct authorization_subject *subject, size_t *ret_rule);

/*
 * Names to addresses, asynchronously, through c-ares (all records, however many; truncated answers are asked for again
 * over TCP; search domains and /etc/hosts as the system has them).
 *
 * Thread: the one that runs the event base.
 */
#pragma once

#include <event2/event.h>
#include <stddef.h>
#include <stdint.h>

#include "base/sockaddr.h"
#include "proxy/config/model.h"

struct dns_resolver;

/* What a query for one address family came to. */
struct dns_answer {
    int status; /* 0: the addresses; -ENOENT: there are none, the server says; another negative errno: not known */
    const union inet_address *addresses; /* with port 0, in the order of the answer */
    size_t count;
    uint64_t ttl_ms;     /* the shortest of them */
    const char *problem; /* with a status: in words */
};

#define DNS_MOST_UNDER_WAY 64 /* queries; further ones wait for their turn */

typedef void dns_callback(void *owner, const struct dns_answer *answer);

/* `servers` empty: those of /etc/resolv.conf. Returns 0, -ENOMEM, or -EINVAL when c-ares cannot be set up. */
int dns_resolver_new(struct event_base *base, const struct dns_config *config, struct dns_resolver **ret_resolver);

/* Queries that are under way are dropped: their callbacks are not called. */
void dns_resolver_free(struct dns_resolver *resolver);

/*
 * Asks for the addresses of one family. `callback` is called once, perhaps before this returns.
 */
void dns_resolver_ask(struct dns_resolver *resolver, const char *name, sa_family_t family, dns_callback *callback,
                      void *owner);

/* The callbacks of this owner's queries are not called any more. */
void dns_resolver_forget(struct dns_resolver *resolver, const void *owner);

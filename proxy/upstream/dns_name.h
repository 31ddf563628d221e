/*
 * The addresses of one name, kept fresh: each family is asked for again when its TTL is over.
 *
 * A family's last addresses stay while the server cannot be asked (no answer, SERVFAIL); they go when it says that
 * there are none (NXDOMAIN, no data), since somebody else may have them by now. One family does not wait for the other.
 *
 * Owner: the caller; it may pass from one to another with all that it knows. Thread: the one that runs the resolver's
 * event base.
 */
#pragma once

#include <event2/event_struct.h>
#include <stdbool.h>

#include "base/random.h"
#include "proxy/upstream/dns.h"

enum { DNS_IPV4, DNS_IPV6, DNS_FAMILIES };

struct dns_name;

/* The addresses of one family. */
struct dns_family {
    struct dns_name *name;
    sa_family_t family;
    union inet_address *addresses; /* sorted; with port 0 */
    size_t count;
    bool is_known;    /* it was answered, or has failed, once */
    bool is_answered; /* it was answered once */
    bool is_lost;     /* the last answer was that there are none, and there had been some */
    int status;       /* of the last answer */
    uint64_t ttl_ms;
    unsigned failures; /* in a row */
    struct event timer;
};

struct dns_name {
    struct dns_resolver *resolver;
    struct random random;
    char *host;
    const char *cluster; /* borrowed; for messages */
    bool has_begun;
    struct dns_family families[DNS_FAMILIES];
    void (*on_answer)(void *owner); /* an answer, or a failure, has come; addresses may be others */
    void *owner;
};

/* Nothing is asked yet. `resolver` is borrowed. NULL without memory. */
struct dns_name *dns_name_new(struct event_base *base, struct dns_resolver *resolver, const char *host);
void dns_name_free(struct dns_name *name);

/* Whom answers are told from now on; `cluster` is borrowed, for messages. */
void dns_name_own(struct dns_name *name, const char *cluster, void (*on_answer)(void *owner), void *owner);

/* Begins to ask, if it does not already; `on_answer` may be called before this returns. */
void dns_name_begin(struct dns_name *name);

/* Whether both families were answered, or have failed, once. */
bool dns_name_is_known(const struct dns_name *name);

/*
 * Whether both families were answered, if only that there are none; or one has addresses and the other has failed, as
 * where a server does not know AAAA.
 */
bool dns_name_is_answered(const struct dns_name *name);

/*
 * The addresses of one name, kept fresh: each family is asked for again when its TTL is over.
 *
 * A family's last addresses stay while the server cannot be asked (no answer, SERVFAIL); they go when it says that
 * there are none (NXDOMAIN, no data), since somebody else may have them by now. One family does not wait for the other.
 *
 * Owner: the caller, who embeds it. Thread: the one that runs the resolver's event base.
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
    struct random *random;
    const char *host;    /* borrowed */
    const char *cluster; /* borrowed; for messages */
    struct dns_family families[DNS_FAMILIES];
    void (*on_answer)(void *owner); /* an answer, or a failure, has come; addresses may be others */
    void *owner;
};

/* `random` is borrowed. Nothing is asked yet. */
void dns_name_init(struct dns_name *name, struct event_base *base, struct dns_resolver *resolver, struct random *random,
                   const char *host, const char *cluster, void (*on_answer)(void *owner), void *owner);

/* Begins to ask; `on_answer` may be called before this returns. */
void dns_name_begin(struct dns_name *name);

/* The resolver must be gone already: then no answer comes any more. */
void dns_name_done(struct dns_name *name);

/*
 * Whether both families were answered, if only that there are none; or one has addresses and the other has failed, as
 * where a server does not know AAAA.
 */
bool dns_name_is_answered(const struct dns_name *name);

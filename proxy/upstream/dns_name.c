#include "proxy/upstream/dns_name.h"

#include <errno.h>
#include <event2/event.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/macros.h"

#define SHORTEST_MS       1000 /* between two questions */
#define LONGEST_MS        (60 * 60 * 1000)
#define NONE_MS           5000 /* there are no addresses */
#define FAILED_FIRST_MS   1000 /* then doubling */
#define FAILED_LONGEST_MS 30000

static const sa_family_t families[DNS_FAMILIES] = { [DNS_IPV4] = AF_INET, [DNS_IPV6] = AF_INET6 };

static int compare_addresses(const void *left, const void *right)
{
    const union inet_address *a = left, *b = right;

    if (a->family == AF_INET)
        return memcmp(&a->in.sin_addr, &b->in.sin_addr, sizeof a->in.sin_addr);
    return memcmp(&a->in6.sin6_addr, &b->in6.sin6_addr, sizeof a->in6.sin6_addr);
}

static const struct dns_family *other_family(const struct dns_family *family)
{
    return &family->name->families[family->family == AF_INET ? DNS_IPV6 : DNS_IPV4];
}

/* A family that a name never had is asked for as seldom as the one that it has. */
static uint64_t next_ms(const struct dns_family *family)
{
    uint64_t pause_ms;

    if (family->status == 0)
        return MIN(MAX(family->ttl_ms, (uint64_t)SHORTEST_MS), (uint64_t)LONGEST_MS);
    if (family->status == -ENOENT)
        return other_family(family)->count > 0 && !family->is_lost
                   ? MIN(MAX(other_family(family)->ttl_ms, (uint64_t)NONE_MS), (uint64_t)LONGEST_MS)
                   : NONE_MS;
    pause_ms = MIN((uint64_t)FAILED_FIRST_MS << MIN(family->failures - 1, 10u), (uint64_t)FAILED_LONGEST_MS);
    return pause_ms / 2 + random_below(&family->name->random, pause_ms / 2 + 1);
}

static void wait_for(struct dns_family *family, uint64_t ms)
{
    struct timeval delay = { .tv_sec = (time_t)(ms / 1000), .tv_usec = (suseconds_t)(ms % 1000 * 1000) };

    evtimer_add(&family->timer, &delay);
}

static void replace(struct dns_family *family, union inet_address *addresses, size_t count)
{
    free(family->addresses);
    family->addresses = addresses;
    family->count = count;
}

static void take_answer(struct dns_family *family, const struct dns_answer *answer)
{
    union inet_address *copy;

    family->status = answer->status;
    if (answer->status == -ENOENT) {
        family->is_lost = family->count > 0 || family->is_lost;
        replace(family, NULL, 0);
    }
    if (answer->status < 0)
        return;
    copy = calloc(answer->count, sizeof *copy);
    if (!copy) {
        family->status = -ENOMEM;
        return;
    }
    memcpy(copy, answer->addresses, answer->count * sizeof *copy);
    qsort(copy, answer->count, sizeof *copy, compare_addresses);
    replace(family, copy, answer->count);
    family->ttl_ms = answer->ttl_ms;
    family->is_lost = false;
}

/* A name without addresses of one family is usual. */
static void tell_if_none(const struct dns_name *name)
{
    const struct dns_family *ipv4 = &name->families[DNS_IPV4], *ipv6 = &name->families[DNS_IPV6];

    if (dns_name_is_answered(name) && ipv4->status == -ENOENT && ipv6->status == -ENOENT)
        log_warning("cluster %s: %s has no addresses%s", name->cluster, name->host,
                    ipv4->is_lost || ipv6->is_lost ? " any more" : "");
}

static void on_answer(void *owner, const struct dns_answer *answer)
{
    struct dns_family *family = owner;
    struct dns_name *name = family->name;
    bool changes = !family->is_known || family->status != answer->status;

    take_answer(family, answer);
    family->is_known = true;
    family->is_answered |= family->status == 0 || family->status == -ENOENT;
    if (family->status == 0 || family->status == -ENOENT)
        family->failures = 0;
    else if (family->failures++ == 0)
        log_warning("cluster %s: %s of %s cannot be resolved: %s; its last addresses stay", name->cluster,
                    family->family == AF_INET ? "A" : "AAAA", name->host,
                    answer->problem ? answer->problem : "no memory");
    if (changes && family->status == -ENOENT)
        tell_if_none(name);
    wait_for(family, next_ms(family));
    name->on_answer(name->owner);
}

static void ask(struct dns_family *family)
{
    dns_resolver_ask(family->name->resolver, family->name->host, family->family, on_answer, family);
}

static void on_timer(evutil_socket_t fd, short what, void *argument)
{
    (void)fd;
    (void)what;
    ask(argument);
}

struct dns_name *dns_name_new(struct event_base *base, struct dns_resolver *resolver, const char *host)
{
    struct dns_name *name = calloc(1, sizeof *name);

    if (!name)
        return NULL;
    name->resolver = resolver;
    random_init_from_system(&name->random);
    for (size_t i = 0; i < DNS_FAMILIES; i++) {
        name->families[i].name = name;
        name->families[i].family = families[i];
        evtimer_assign(&name->families[i].timer, base, on_timer, &name->families[i]);
    }
    name->host = strdup(host);
    if (name->host)
        return name;
    dns_name_free(name);
    return NULL;
}

void dns_name_free(struct dns_name *name)
{
    if (!name)
        return;
    for (size_t i = 0; i < DNS_FAMILIES; i++) {
        dns_resolver_forget(name->resolver, &name->families[i]);
        evtimer_del(&name->families[i].timer);
        free(name->families[i].addresses);
    }
    free(name->host);
    free(name);
}

void dns_name_own(struct dns_name *name, const char *cluster, void (*on_name_answer)(void *owner), void *owner)
{
    name->cluster = cluster;
    name->on_answer = on_name_answer;
    name->owner = owner;
}

void dns_name_begin(struct dns_name *name)
{
    if (name->has_begun)
        return;
    name->has_begun = true;
    for (size_t i = 0; i < DNS_FAMILIES; i++)
        ask(&name->families[i]);
}

bool dns_name_is_known(const struct dns_name *name)
{
    return name->families[DNS_IPV4].is_known && name->families[DNS_IPV6].is_known;
}

bool dns_name_is_answered(const struct dns_name *name)
{
    const struct dns_family *ipv4 = &name->families[DNS_IPV4], *ipv6 = &name->families[DNS_IPV6];

    if (ipv4->is_answered && ipv6->is_answered)
        return true;
    return ipv4->is_known && ipv6->is_known && ipv4->count + ipv6->count > 0;
}

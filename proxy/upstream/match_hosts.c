#include "proxy/upstream/match_hosts.h"

#include <errno.h>
#include <event2/event_struct.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/macros.h"
#include "proxy/config/match_rules.h"
#include "proxy/upstream/dns_name.h"

#define KEEP_MS         (10 * 60 * 1000)
#define REBUILD_MS      20    /* answers that come together make one table */
#define LOOK_AGAIN_MS   10000 /* for addresses whose time is over */
#define MOST_HOST_RULES (4 * MATCH_RULES_MOST)

/* An address that a host has, or had until `gone_ms`. */
struct known_address {
    union inet_address address;
    uint64_t gone_ms; /* 0: it has it */
};

/* One name of one match. */
struct host {
    struct match_hosts *hosts;
    struct dns_name *name; /* NULL once another has taken it over */
    const struct match_config *match;
    uint32_t cluster, order;
    struct known_address *known;
    size_t known_count;
    bool was_known; /* that it is known was told */
};

struct match_hosts {
    struct cluster_set *clusters;
    struct host *items;
    size_t count;
    struct event rebuild;
    bool is_dirty; /* answers have come that the route table does not have yet */
    void (*on_known)(void *owner);
    void *owner;
};

static struct known_address *find_known(struct host *host, const union inet_address *address)
{
    for (size_t i = 0; i < host->known_count; i++) {
        if (sockaddr_equal(&host->known[i].address.any, &address->any))
            return &host->known[i];
    }
    return NULL;
}

static bool name_has(const struct dns_name *name, const union inet_address *address)
{
    const struct dns_family *family = &name->families[address->family == AF_INET ? DNS_IPV4 : DNS_IPV6];

    for (size_t i = 0; i < family->count; i++) {
        if (sockaddr_equal(&family->addresses[i].any, &address->any))
            return true;
    }
    return false;
}

static void forget(struct host *host, size_t index)
{
    memmove(&host->known[index], &host->known[index + 1], (host->known_count - index - 1) * sizeof *host->known);
    host->known_count--;
}

static void forget_longest_gone(struct host *host)
{
    size_t oldest = 0;

    for (size_t i = 1; i < host->known_count; i++) {
        if (host->known[i].gone_ms != 0 &&
            (host->known[oldest].gone_ms == 0 || host->known[i].gone_ms < host->known[oldest].gone_ms))
            oldest = i;
    }
    forget(host, oldest);
}

/* Returns whether that changes anything. Without memory the address is not known; the next answer tries again. */
static bool learn(struct host *host, const union inet_address *address)
{
    struct known_address *known = find_known(host, address);

    if (!known) {
        if (host->known_count == MATCH_HOSTS_MOST_ADDRESSES)
            forget_longest_gone(host);
        known = reallocarray(host->known, host->known_count + 1, sizeof *known);
        if (!known)
            return false;
        host->known = known;
        host->known[host->known_count++] = (struct known_address){ .address = *address };
        return true;
    }
    if (known->gone_ms == 0)
        return false;
    known->gone_ms = 0;
    return true;
}

/* Returns whether the routes change with it. */
static bool compare_with_answer(struct host *host, uint64_t now_ms)
{
    bool changes = false;

    for (size_t i = 0; i < host->known_count; i++) {
        if (host->known[i].gone_ms != 0 || name_has(host->name, &host->known[i].address))
            continue;
        host->known[i].gone_ms = now_ms;
        changes = true;
    }
    for (size_t family = 0; family < DNS_FAMILIES; family++) {
        for (size_t i = 0; i < host->name->families[family].count; i++)
            changes |= learn(host, &host->name->families[family].addresses[i]);
    }
    return changes;
}

/* Returns whether some address's time is over, or will be. */
static bool forget_old(struct host *host, uint64_t now_ms, bool *ret_will_be)
{
    bool is_over = false;

    for (size_t i = host->known_count; i > 0; i--) {
        if (host->known[i - 1].gone_ms == 0)
            continue;
        if (now_ms - host->known[i - 1].gone_ms >= KEEP_MS) {
            forget(host, i - 1);
            is_over = true;
        } else
            *ret_will_be = true;
    }
    return is_over;
}

static struct cidr block_of(const union inet_address *address)
{
    struct cidr block = { .family = address->family, .prefix = address->family == AF_INET ? 32 : 128 };

    if (address->family == AF_INET)
        memcpy(block.bytes, &address->in.sin_addr, sizeof address->in.sin_addr);
    else
        memcpy(block.bytes, &address->in6.sin6_addr, sizeof address->in6.sin6_addr);
    return block;
}

/* Returns whether the routes are up to date now. */
static bool publish(struct match_hosts *hosts)
{
    const struct config *config = hosts->clusters->config;
    size_t most = config->match_rules.count, left_out = 0;
    struct route_table *table;
    struct match_rule *rules, *at;
    bool is_done;

    for (size_t i = 0; i < hosts->count; i++)
        most += hosts->items[i].known_count * match_rules_per_block(hosts->items[i].match);
    most = MIN(most, config->match_rules.count + MOST_HOST_RULES);
    rules = calloc(most + 1, sizeof *rules);
    if (!rules) {
        log_error("no memory for new routes; the old ones stay");
        return false;
    }
    if (config->match_rules.count > 0)
        memcpy(rules, config->match_rules.items, config->match_rules.count * sizeof *rules);
    at = rules + config->match_rules.count;
    for (size_t i = 0; i < hosts->count; i++) {
        const struct host *host = &hosts->items[i];

        for (size_t j = 0; j < host->known_count; j++) {
            struct match_rule like = { .block = block_of(&host->known[j].address),
                                       .cluster = host->cluster,
                                       .order = host->order,
                                       .is_resolved = true,
                                       .is_remembered = host->known[j].gone_ms != 0 };

            if (match_rules_per_block(host->match) <= (size_t)(rules + most - at))
                at = match_rules_write(host->match, &like, at);
            else
                left_out++;
        }
    }
    if (left_out > 0)
        log_warning("the hosts of all matches have too many addresses; %zu are left out", left_out);
    is_done = route_table_new(rules, (size_t)(at - rules), &table) == 0;
    if (is_done)
        router_publish(&hosts->clusters->router, table);
    else
        log_error("no memory for new routes; the old ones stay");
    free(rules);
    return is_done;
}

static void wait_for(struct match_hosts *hosts, uint64_t ms)
{
    struct timeval delay = { .tv_sec = (time_t)(ms / 1000), .tv_usec = (suseconds_t)(ms % 1000 * 1000) };

    evtimer_add(&hosts->rebuild, &delay);
}

static void on_rebuild(evutil_socket_t fd, short what, void *argument)
{
    struct match_hosts *hosts = argument;
    bool was_dirty = hosts->is_dirty, changes = was_dirty, will_be = false;
    uint64_t now_ms = clock_now_ms();

    (void)fd;
    (void)what;
    for (size_t i = 0; i < hosts->count; i++)
        changes |= forget_old(&hosts->items[i], now_ms, &will_be);
    hosts->is_dirty = changes && !publish(hosts);
    if (will_be || hosts->is_dirty)
        wait_for(hosts, LOOK_AGAIN_MS);
    if (was_dirty && !hosts->is_dirty)
        hosts->on_known(hosts->owner);
}

static void on_name_answer(void *owner)
{
    struct host *host = owner;

    bool changes = compare_with_answer(host, clock_now_ms());

    if (!changes && host->was_known)
        return;
    host->was_known = dns_name_is_answered(host->name);
    if (!host->hosts->is_dirty)
        wait_for(host->hosts, REBUILD_MS);
    host->hosts->is_dirty = true;
}

static size_t count_hosts(const struct config *config)
{
    size_t count = 0;

    for (size_t i = 0; i < config->clusters.count; i++) {
        for (size_t j = 0; j < config->clusters.items[i].match.count; j++)
            count += config->clusters.items[i].match.items[j].hosts.count;
    }
    return count;
}

static int add_hosts(struct match_hosts *hosts, struct event_base *base, struct dns_resolver *resolver)
{
    const struct config *config = hosts->clusters->config;
    uint32_t order = 0;

    for (size_t i = 0; i < config->clusters.count; i++) {
        const struct cluster_config *cluster = &config->clusters.items[i];

        for (size_t j = 0; j < cluster->match.count; j++, order++) {
            const struct match_config *match = &cluster->match.items[j];

            for (size_t k = 0; k < match->hosts.count; k++) {
                struct host *host = &hosts->items[hosts->count];

                host->name = dns_name_new(base, resolver, match->hosts.items[k]);
                if (!host->name)
                    return -ENOMEM;
                hosts->count++;
                host->hosts = hosts;
                host->match = match;
                host->cluster = (uint32_t)i;
                host->order = order;
                dns_name_own(host->name, cluster->name, on_name_answer, host);
            }
        }
    }
    return 0;
}

int match_hosts_new(struct event_base *base, struct dns_resolver *resolver, struct cluster_set *clusters,
                    void (*on_known)(void *owner), void *owner, struct match_hosts **ret_hosts)
{
    struct match_hosts *hosts = calloc(1, sizeof *hosts);
    int r;

    if (!hosts)
        return -ENOMEM;
    hosts->clusters = clusters;
    hosts->on_known = on_known;
    hosts->owner = owner;
    evtimer_assign(&hosts->rebuild, base, on_rebuild, hosts);
    hosts->items = calloc(count_hosts(clusters->config) + 1, sizeof *hosts->items);
    r = hosts->items ? add_hosts(hosts, base, resolver) : -ENOMEM;
    if (r < 0) {
        match_hosts_free(hosts);
        return r;
    }
    *ret_hosts = hosts;
    return 0;
}

static void take_name(struct host *host, struct match_hosts *previous)
{
    for (size_t i = 0; i < previous->count; i++) {
        struct host *known = &previous->items[i];

        if (!known->name || strcmp(known->name->host, host->name->host) != 0)
            continue;
        dns_name_free(host->name);
        host->name = known->name;
        host->known = known->known;
        host->known_count = known->known_count;
        host->was_known = known->was_known;
        known->name = NULL;
        known->known = NULL;
        known->known_count = 0;
        dns_name_own(host->name, host->hosts->clusters->config->clusters.items[host->cluster].name, on_name_answer,
                     host);
        return;
    }
}

void match_hosts_begin(struct match_hosts *hosts, struct match_hosts *previous)
{
    for (size_t i = 0; previous && i < hosts->count; i++)
        take_name(&hosts->items[i], previous);
    if (previous) {
        hosts->is_dirty = !publish(hosts);
        wait_for(hosts, hosts->is_dirty ? REBUILD_MS : LOOK_AGAIN_MS);
    }
    for (size_t i = 0; i < hosts->count; i++)
        dns_name_begin(hosts->items[i].name);
}

void match_hosts_free(struct match_hosts *hosts)
{
    if (!hosts)
        return;
    evtimer_del(&hosts->rebuild);
    for (size_t i = 0; i < hosts->count; i++) {
        dns_name_free(hosts->items[i].name);
        free(hosts->items[i].known);
    }
    free(hosts->items);
    free(hosts);
}

bool match_hosts_knows(const struct match_hosts *hosts, const struct cluster *cluster)
{
    for (size_t i = 0; i < hosts->count; i++) {
        if (hosts->items[i].cluster == cluster->index &&
            (hosts->is_dirty || !dns_name_is_answered(hosts->items[i].name)))
            return false;
    }
    return true;
}

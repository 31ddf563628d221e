#include "proxy/upstream/discovery.h"

#include <errno.h>
#include <event2/event_struct.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/macros.h"
#include "proxy/upstream/dns.h"

#define SHORTEST_MS       1000 /* between two questions */
#define LONGEST_MS        (60 * 60 * 1000)
#define NONE_MS           5000 /* there are no addresses */
#define FAILED_FIRST_MS   1000 /* then doubling */
#define FAILED_LONGEST_MS 30000

enum { IPV4, IPV6, FAMILIES };

static const sa_family_t families[FAMILIES] = { [IPV4] = AF_INET, [IPV6] = AF_INET6 };

/* The addresses of one family, sorted. */
struct family_state {
    union inet_address *addresses;
    size_t count;
    bool is_asked; /* a question is under way */
    bool is_known; /* it was answered, or has failed, once */
    int status;    /* of the last answer */
    uint64_t ttl_ms;
};

struct name {
    struct discoverer *discovery;
    struct cluster *cluster;
    const struct endpoint_config *config;
    struct family_state states[FAMILIES];
    bool had_any;      /* addresses, when the questions under way were asked */
    unsigned failures; /* in a row */
    struct event timer;
};

struct discoverer {
    struct cluster_set *clusters;
    struct dns_resolver *resolver;
    struct name *names; /* cluster by cluster */
    size_t *first;      /* of each cluster */
    size_t name_count;
    struct random random;
    void (*on_change)(void *owner, struct cluster *cluster);
    void *owner;
};

static int compare_addresses(const void *left, const void *right)
{
    const union inet_address *a = left, *b = right;

    if (a->family == AF_INET)
        return memcmp(&a->in.sin_addr, &b->in.sin_addr, sizeof a->in.sin_addr);
    return memcmp(&a->in6.sin6_addr, &b->in6.sin6_addr, sizeof a->in6.sin6_addr);
}

/* Slots of one cluster that are being collected. */
struct collection {
    struct endpoint_slot *slots;
    size_t count;
    struct endpoint_set *before;
    bool joins_others; /* the cluster's first addresses have been known */
    bool is_full;
};

static void collect(struct collection *collection, const struct cluster *cluster, const union sockaddr_any *address,
                    const struct endpoint_config *config)
{
    struct endpoint *endpoint;

    for (size_t i = 0; i < collection->count; i++) {
        if (sockaddr_equal(&collection->slots[i].endpoint->address.any, &address->any))
            return;
    }
    if (collection->count == ENDPOINT_SET_MOST) {
        collection->is_full = true;
        return;
    }
    endpoint = collection->before ? endpoint_set_find(collection->before, &address->any) : NULL;
    if (endpoint)
        endpoint_ref(endpoint);
    else /* slow start is for those that join others */
        endpoint = endpoint_new(address, collection->joins_others ? clock_now_ms() : 0);
    if (!endpoint)
        return;
    cluster_make_slot(cluster, config, endpoint, &collection->slots[collection->count++]);
}

static void collect_name(struct collection *collection, const struct cluster *cluster, const struct name *name)
{
    for (size_t family = 0; family < FAMILIES; family++) {
        for (size_t i = 0; i < name->states[family].count; i++) {
            union sockaddr_any address = { 0 };

            address.inet = name->states[family].addresses[i];
            sockaddr_set_port(&address.any, name->config->at.port);
            collect(collection, cluster, &address, name->config);
        }
    }
}

static const struct name *find_name(const struct discoverer *discovery, const struct cluster *cluster,
                                    const struct endpoint_config *config)
{
    const struct name *end = discovery->names + discovery->name_count;

    for (const struct name *name = discovery->names + discovery->first[cluster->index]; name < end; name++) {
        if (name->config == config)
            return name;
    }
    return NULL;
}

/* In the order of the configuration; within a name by address: the same answers make the same set. */
static void publish(struct discoverer *discovery, struct cluster *cluster)
{
    struct collection collection = { .slots = calloc(ENDPOINT_SET_MOST, sizeof *collection.slots),
                                     .before = cluster_get_endpoints(cluster),
                                     .joins_others = discovery_knows(discovery, cluster) };
    struct endpoint_set *set = NULL;
    bool changed = false;

    for (size_t i = 0; collection.slots && i < cluster->config->endpoints.count; i++) {
        const struct endpoint_config *config = &cluster->config->endpoints.items[i];

        if (config->at.host)
            collect_name(&collection, cluster, find_name(discovery, cluster, config));
        else
            collect(&collection, cluster, &config->at.address, config);
    }
    if (collection.is_full)
        log_warning("cluster %s: its names have more than %d addresses; the rest is left out", cluster->config->name,
                    ENDPOINT_SET_MOST);
    if (!collection.slots || endpoint_set_new(collection.slots, collection.count, &set) < 0)
        log_error("cluster %s: no memory for its new endpoints; the old ones stay", cluster->config->name);
    else
        changed = cluster_publish(cluster, set, clock_now_ms());
    if (changed)
        log_info("cluster %s: %zu endpoints", cluster->config->name, collection.count);
    for (size_t i = 0; i < collection.count; i++)
        endpoint_unref(collection.slots[i].endpoint);
    free(collection.slots);
    endpoint_set_unref(collection.before);
    if (changed)
        discovery->on_change(discovery->owner, cluster);
}

static void wait_for(struct name *name, uint64_t ms)
{
    struct timeval delay = { .tv_sec = (time_t)(ms / 1000), .tv_usec = (suseconds_t)(ms % 1000 * 1000) };

    evtimer_add(&name->timer, &delay);
}

/* When to ask again, once both families are answered. */
static uint64_t next_ms(struct name *name)
{
    uint64_t soonest_ms = LONGEST_MS;
    bool failed = false, has_any = false;

    for (size_t family = 0; family < FAMILIES; family++) {
        const struct family_state *state = &name->states[family];

        failed |= state->status < 0 && state->status != -ENOENT;
        has_any |= state->count > 0;
        if (state->status == 0)
            soonest_ms = MIN(soonest_ms, MAX(state->ttl_ms, (uint64_t)SHORTEST_MS));
    }
    name->failures = failed ? name->failures + 1 : 0;
    if (failed) {
        uint64_t pause_ms = MIN((uint64_t)FAILED_FIRST_MS << MIN(name->failures - 1, 10u), (uint64_t)FAILED_LONGEST_MS);

        return pause_ms / 2 + random_below(&name->discovery->random, pause_ms / 2 + 1);
    }
    return has_any ? soonest_ms : NONE_MS;
}

static bool take_answer(struct family_state *state, const struct dns_answer *answer)
{
    union inet_address *copy;

    state->status = answer->status;
    if (answer->status == -ENOENT) {
        free(state->addresses);
        state->addresses = NULL;
        state->count = 0;
        return true;
    }
    if (answer->status < 0)
        return false;
    copy = calloc(answer->count, sizeof *copy);
    if (!copy) {
        state->status = -ENOMEM;
        return false;
    }
    memcpy(copy, answer->addresses, answer->count * sizeof *copy);
    qsort(copy, answer->count, sizeof *copy, compare_addresses);
    free(state->addresses);
    state->addresses = copy;
    state->count = answer->count;
    state->ttl_ms = answer->ttl_ms;
    return true;
}

static void tell_problem(const struct name *name, const struct dns_answer *answer, bool was_known)
{
    const char *cluster = name->cluster->config->name, *host = name->config->at.host;

    if (answer->status == -ENOENT)
        return; /* of one family: usual. Of both: told by on_answer() */
    if (!was_known || name->failures == 0)
        log_warning("cluster %s: %s cannot be resolved: %s; its last addresses stay", cluster, host, answer->problem);
}

static void on_answer(void *owner, sa_family_t family, const struct dns_answer *answer)
{
    struct name *name = owner;
    struct family_state *state = &name->states[family == AF_INET ? IPV4 : IPV6];
    bool was_known = name->states[IPV4].is_known && name->states[IPV6].is_known;

    state->is_asked = false;
    take_answer(state, answer);
    if (answer->status < 0)
        tell_problem(name, answer, state->is_known);
    if (name->states[IPV4].is_asked || name->states[IPV6].is_asked) {
        if (!name->had_any && answer->status == 0)
            publish(name->discovery, name->cluster); /* better these now than none */
        state->is_known = true;
        return; /* else both together, so that the set changes once */
    }
    if (name->states[IPV4].status == -ENOENT && name->states[IPV6].status == -ENOENT && (name->had_any || !was_known))
        log_warning("cluster %s: %s has no addresses%s", name->cluster->config->name, name->config->at.host,
                    name->had_any ? " any more" : "");
    publish(name->discovery, name->cluster);
    state->is_known = true;
    wait_for(name, next_ms(name));
}

static void ask(struct name *name)
{
    name->had_any = name->states[IPV4].count + name->states[IPV6].count > 0;
    for (size_t family = 0; family < FAMILIES; family++)
        name->states[family].is_asked = true;
    for (size_t family = 0; family < FAMILIES; family++)
        dns_resolver_ask(name->discovery->resolver, name->config->at.host, families[family], on_answer, name);
}

static void on_timer(evutil_socket_t fd, short what, void *argument)
{
    (void)fd;
    (void)what;
    ask(argument);
}

static size_t count_names(const struct cluster_set *clusters)
{
    size_t count = 0;

    for (size_t i = 0; i < clusters->count; i++) {
        const struct cluster_config *config = clusters->clusters[i].config;

        for (size_t j = 0; j < config->endpoints.count; j++)
            count += config->endpoints.items[j].at.host != NULL;
    }
    return count;
}

static void begin_names(struct discoverer *discovery, struct event_base *base)
{
    for (size_t i = 0; i < discovery->clusters->count; i++) {
        struct cluster *cluster = &discovery->clusters->clusters[i];

        discovery->first[i] = discovery->name_count;
        for (size_t j = 0; j < cluster->config->endpoints.count; j++) {
            struct name *name = &discovery->names[discovery->name_count];

            if (!cluster->config->endpoints.items[j].at.host)
                continue;
            discovery->name_count++;
            name->discovery = discovery;
            name->cluster = cluster;
            name->config = &cluster->config->endpoints.items[j];
            evtimer_assign(&name->timer, base, on_timer, name);
        }
    }
    for (size_t i = 0; i < discovery->name_count; i++)
        ask(&discovery->names[i]);
}

int discovery_new(struct event_base *base, struct cluster_set *clusters,
                  void (*on_change)(void *owner, struct cluster *cluster), void *owner,
                  struct discoverer **ret_discovery)
{
    size_t count = count_names(clusters);
    struct discoverer *discovery;
    int r;

    *ret_discovery = NULL;
    if (count == 0)
        return 0;
    discovery = calloc(1, sizeof *discovery);
    if (!discovery)
        return -ENOMEM;
    discovery->clusters = clusters;
    discovery->on_change = on_change;
    discovery->owner = owner;
    random_init_from_system(&discovery->random);
    discovery->names = calloc(count, sizeof *discovery->names);
    discovery->first = calloc(clusters->count, sizeof *discovery->first);
    r = discovery->names && discovery->first ? dns_resolver_new(base, &clusters->config->dns, &discovery->resolver)
                                             : -ENOMEM;
    if (r < 0) {
        discovery_free(discovery);
        return r;
    }
    *ret_discovery = discovery;
    begin_names(discovery, base);
    return 0;
}

void discovery_free(struct discoverer *discovery)
{
    if (!discovery)
        return;
    dns_resolver_free(discovery->resolver);
    for (size_t i = 0; i < discovery->name_count; i++) {
        evtimer_del(&discovery->names[i].timer);
        for (size_t family = 0; family < FAMILIES; family++)
            free(discovery->names[i].states[family].addresses);
    }
    free(discovery->names);
    free(discovery->first);
    free(discovery);
}

bool discovery_knows(const struct discoverer *discovery, const struct cluster *cluster)
{
    for (size_t i = discovery ? discovery->first[cluster->index] : 0;
         discovery && i < discovery->name_count && discovery->names[i].cluster == cluster; i++) {
        const struct name *name = &discovery->names[i];

        if (!(name->states[IPV4].is_known && name->states[IPV6].is_known))
            return false;
    }
    return true;
}

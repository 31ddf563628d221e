#include "proxy/upstream/dns.h"

#include <ares.h>
#include <errno.h>
#include <event2/event_struct.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/list.h"
#include "base/macros.h"
#include "base/strbuf.h"

#define MOST_ADDRESSES   1024 /* of one answer; what is beyond them is left out */
#define MOST_SERVER_TEXT 4096
#define LONGEST_TTL_S    86400

/* One of c-ares' sockets. */
struct dns_socket {
    struct list_node in_resolver;
    struct dns_resolver *resolver;
    evutil_socket_t fd;
    struct event event;
};

struct dns_resolver {
    struct event_base *base;
    ares_channel channel;
    bool has_channel, is_ending;
    struct list_node sockets;
    struct list_node waiting, asked; /* queries */
    unsigned under_way;
    bool is_starting; /* start_waiting() is at it already */
    struct event timer;
};

struct query {
    struct list_node in_resolver; /* among those that wait, or that were asked */
    struct dns_resolver *resolver;
    char *name;
    sa_family_t family;
    dns_callback *callback; /* NULL: nobody wants to know any more */
    void *owner;
};

static void arm_timer(struct dns_resolver *resolver)
{
    struct timeval left, *next = ares_timeout(resolver->channel, NULL, &left);

    if (next)
        evtimer_add(&resolver->timer, next);
    else
        evtimer_del(&resolver->timer);
}

static void on_timer(evutil_socket_t fd, short what, void *argument)
{
    struct dns_resolver *resolver = argument;

    (void)fd;
    (void)what;
    ares_process_fd(resolver->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
    arm_timer(resolver);
}

static void on_socket(evutil_socket_t fd, short what, void *argument)
{
    struct dns_resolver *resolver = argument;

    ares_process_fd(resolver->channel, what & EV_READ ? fd : ARES_SOCKET_BAD, what & EV_WRITE ? fd : ARES_SOCKET_BAD);
    arm_timer(resolver);
}

static struct dns_socket *find_socket(struct dns_resolver *resolver, evutil_socket_t fd)
{
    for (struct list_node *node = resolver->sockets.next; node != &resolver->sockets; node = node->next) {
        struct dns_socket *found = CONTAINER_OF(node, struct dns_socket, in_resolver);

        if (found->fd == fd)
            return found;
    }
    return NULL;
}

static void forget_socket(struct dns_socket *watched)
{
    event_del(&watched->event);
    list_remove(&watched->in_resolver);
    free(watched);
}

/* c-ares says what it waits for; neither means that it closes the socket. */
static void on_interest(void *argument, ares_socket_t fd, int readable, int writable)
{
    struct dns_resolver *resolver = argument;
    struct dns_socket *watched = find_socket(resolver, fd);

    if (!readable && !writable) {
        if (watched)
            forget_socket(watched);
        return;
    }
    if (!watched) {
        watched = calloc(1, sizeof *watched);
        if (!watched)
            return; /* the query's timeout ends it */
        watched->resolver = resolver;
        watched->fd = fd;
        list_append(&resolver->sockets, &watched->in_resolver);
    } else
        event_del(&watched->event);
    event_assign(&watched->event, resolver->base, fd,
                 (short)((readable ? EV_READ : 0) | (writable ? EV_WRITE : 0) | EV_PERSIST), on_socket, resolver);
    event_add(&watched->event, NULL);
}

static int set_servers(struct dns_resolver *resolver, const struct dns_config *config)
{
    char address[SOCKADDR_TEXT_SIZE];
    struct strbuf list;
    int r;

    if (config->servers.count == 0)
        return 0;
    strbuf_init(&list, MOST_SERVER_TEXT);
    for (size_t i = 0; i < config->servers.count; i++)
        strbuf_printf(&list, "%s%s", i > 0 ? "," : "", sockaddr_format(&config->servers.items[i].address.any, address));
    r = strbuf_failed(&list) ? ARES_ENOMEM : ares_set_servers_ports_csv(resolver->channel, list.text);
    strbuf_done(&list);
    return r == ARES_SUCCESS ? 0 : -EINVAL;
}

int dns_resolver_new(struct event_base *base, const struct dns_config *config, struct dns_resolver **ret_resolver)
{
    struct dns_resolver *resolver = calloc(1, sizeof *resolver);
    struct ares_options options = { .timeout = (int)config->timeout_ms,
                                    .tries = (int)config->attempts,
                                    .sock_state_cb = on_interest,
                                    .sock_state_cb_data = resolver };
    int r;

    if (!resolver)
        return -ENOMEM;
    resolver->base = base;
    list_init(&resolver->sockets);
    list_init(&resolver->waiting);
    list_init(&resolver->asked);
    evtimer_assign(&resolver->timer, base, on_timer, resolver);
    resolver->has_channel = ares_init_options(&resolver->channel, &options,
                                              ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_SOCK_STATE_CB) ==
                            ARES_SUCCESS;
    r = resolver->has_channel ? set_servers(resolver, config) : -EINVAL;
    if (r < 0) {
        dns_resolver_free(resolver);
        return r;
    }
    *ret_resolver = resolver;
    return 0;
}

static void free_query(struct query *query)
{
    list_remove(&query->in_resolver);
    free(query->name);
    free(query);
}

void dns_resolver_free(struct dns_resolver *resolver)
{
    if (!resolver)
        return;
    resolver->is_ending = true;
    if (resolver->has_channel)
        ares_destroy(resolver->channel);
    while (!list_is_empty(&resolver->waiting))
        free_query(CONTAINER_OF(resolver->waiting.next, struct query, in_resolver));
    while (!list_is_empty(&resolver->sockets))
        forget_socket(CONTAINER_OF(resolver->sockets.next, struct dns_socket, in_resolver));
    evtimer_del(&resolver->timer);
    free(resolver);
}

static int errno_of(int status)
{
    switch (status) {
    case ARES_SUCCESS:
        return 0;
    case ARES_ENOTFOUND:
    case ARES_ENODATA:
        return -ENOENT;
    case ARES_ETIMEOUT:
        return -ETIMEDOUT;
    case ARES_ENOMEM:
        return -ENOMEM;
    default:
        return -EIO;
    }
}

static size_t take_addresses(const struct ares_addrinfo *found, union inet_address *addresses, uint64_t *ret_ttl_ms)
{
    int64_t ttl_s = LONGEST_TTL_S;
    size_t count = 0;

    for (const struct ares_addrinfo_node *node = found->nodes; node && count < MOST_ADDRESSES; node = node->ai_next) {
        if ((size_t)node->ai_addrlen > sizeof *addresses)
            continue;
        memset(&addresses[count], 0, sizeof addresses[count]);
        memcpy(&addresses[count], node->ai_addr, (size_t)node->ai_addrlen);
        sockaddr_set_port(&addresses[count].any, 0);
        count++;
        ttl_s = MIN(ttl_s, (int64_t)node->ai_ttl);
    }
    for (const struct ares_addrinfo_cname *alias = found->cnames; alias; alias = alias->next)
        ttl_s = MIN(ttl_s, (int64_t)alias->ttl);
    *ret_ttl_ms = (uint64_t)MAX(ttl_s, (int64_t)0) * 1000;
    return count;
}

static void start_waiting(struct dns_resolver *resolver);

static void on_answer(void *argument, int status, int timeouts, struct ares_addrinfo *found)
{
    struct query *query = argument;
    struct dns_resolver *resolver = query->resolver;
    union inet_address *addresses = NULL;
    struct dns_answer answer = { .status = errno_of(status) };

    (void)timeouts;
    if (answer.status == 0)
        addresses = calloc(MOST_ADDRESSES, sizeof *addresses);
    if (answer.status == 0 && !addresses)
        answer.status = -ENOMEM;
    if (answer.status == 0) {
        answer.count = take_addresses(found, addresses, &answer.ttl_ms);
        answer.addresses = addresses;
        if (answer.count == 0)
            answer.status = -ENOENT;
    }
    if (answer.status < 0)
        answer.problem = ares_strerror(status);
    resolver->under_way--;
    list_remove(&query->in_resolver);
    if (!resolver->is_ending && query->callback)
        query->callback(query->owner, &answer);
    free(addresses);
    if (found)
        ares_freeaddrinfo(found);
    free_query(query);
    if (!resolver->is_ending)
        start_waiting(resolver);
}

/* A loop and not a recursion: an answer may come at once, as from /etc/hosts. */
static void start_waiting(struct dns_resolver *resolver)
{
    if (resolver->is_starting)
        return;
    resolver->is_starting = true;
    while (resolver->under_way < DNS_MOST_UNDER_WAY && !list_is_empty(&resolver->waiting)) {
        struct query *query = CONTAINER_OF(resolver->waiting.next, struct query, in_resolver);
        struct ares_addrinfo_hints hints = { .ai_flags = ARES_AI_NOSORT,
                                             .ai_socktype = SOCK_STREAM,
                                             .ai_family = query->family };

        list_remove(&query->in_resolver);
        list_append(&resolver->asked, &query->in_resolver);
        resolver->under_way++;
        ares_getaddrinfo(resolver->channel, query->name, NULL, &hints, on_answer, query);
    }
    resolver->is_starting = false;
    arm_timer(resolver);
}

/*
 * RFC 6761, 6.3: "Name resolution APIs and libraries SHOULD recognize localhost names as special and SHOULD always
 * return the IP loopback address". c-ares does, and loses some bytes each time (1.18).
 */
static bool is_localhost(const char *name)
{
    static const char suffix[] = ".localhost";
    size_t length = strlen(name);

    return strcasecmp(name, suffix + 1) == 0 ||
           (length >= sizeof suffix && strcasecmp(name + length - (sizeof suffix - 1), suffix) == 0);
}

static void answer_localhost(sa_family_t family, dns_callback *callback, void *owner)
{
    union inet_address loopback;
    struct dns_answer answer = { .addresses = &loopback, .count = 1, .ttl_ms = LONGEST_TTL_S * 1000ULL };

    sockaddr_parse_host(family == AF_INET ? "127.0.0.1" : "::1", 0, &loopback);
    callback(owner, &answer);
}

void dns_resolver_ask(struct dns_resolver *resolver, const char *name, sa_family_t family, dns_callback *callback,
                      void *owner)
{
    struct query *query = calloc(1, sizeof *query);
    struct dns_answer nothing = { .status = -ENOMEM, .problem = "out of memory" };
    char *copy;

    if (is_localhost(name)) {
        free(query);
        answer_localhost(family, callback, owner);
        return;
    }
    copy = strdup(name);
    if (!query || !copy) {
        free(query);
        free(copy);
        callback(owner, &nothing);
        return;
    }
    *query = (struct query){
        .resolver = resolver, .name = copy, .family = family, .callback = callback, .owner = owner
    };
    list_append(&resolver->waiting, &query->in_resolver);
    start_waiting(resolver);
}

void dns_resolver_forget(struct dns_resolver *resolver, const void *owner)
{
    struct list_node *next;

    for (struct list_node *node = resolver->waiting.next; node != &resolver->waiting; node = next) {
        struct query *query = CONTAINER_OF(node, struct query, in_resolver);

        next = node->next;
        if (query->owner == owner)
            free_query(query);
    }
    for (struct list_node *node = resolver->asked.next; node != &resolver->asked; node = node->next) {
        struct query *query = CONTAINER_OF(node, struct query, in_resolver);

        if (query->owner == owner)
            query->callback = NULL;
    }
}

#include "proxy/upstream/health_check.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/list.h"
#include "base/log.h"
#include "base/macros.h"
#include "proxy/config/compare.h"
#include "proxy/upstream/cluster_endpoints.h"
#include "proxy/upstream/health_probe.h"

/* First probes come within this, so that what is dead is known soon, and not all of them at once. */
#define FIRST_WITHIN_MS 200

/* Probes under way at one time: half of the descriptors that are kept from connections. */
#define MOST_AT_ONCE 64
#define HURRY        4 /* how much sooner, while outcomes contradict what the endpoint counts as */
#define LOG_EVERY_MS 5000
#define CROWDED_MS   20 /* then, at random, some of this later */

/* One endpoint's. */
struct check {
    struct list_node in_cluster;
    struct health_checker *checker;
    struct cluster *cluster;
    struct endpoint *endpoint; /* a reference */
    struct health_probe probe;
    struct event timer;
    unsigned row;     /* of equal outcomes */
    bool last_passed; /* which */
    bool is_known;    /* it has had its first outcome */
};

struct health_checker {
    struct event_base *base;
    struct cluster_set *clusters;
    struct list_node *checks; /* a list for each cluster */
    struct health_tls *tls;
    unsigned under_way;
    unsigned long lack_logged_ms;
    struct random random;
    void (*on_outcome)(void *owner, struct cluster *cluster, bool is_down);
    void *owner;
};

static void wait_for(struct check *check, uint64_t ms)
{
    struct timeval delay = { .tv_sec = (time_t)(ms / 1000), .tv_usec = (suseconds_t)(ms % 1000 * 1000) };

    evtimer_add(&check->timer, &delay);
}

/* As its connections do. */
static bool speaks_tls(const struct check *check)
{
    enum upstream_tls_mode mode = (enum upstream_tls_mode)check->cluster->config->tls.mode;

    return mode == UPSTREAM_TLS_MUTUAL ||
           (mode == UPSTREAM_TLS_AUTO && atomic_load_explicit(&check->endpoint->speaks_mesh, memory_order_relaxed));
}

static void on_timer(evutil_socket_t fd, short what, void *argument)
{
    struct check *check = argument;

    (void)fd;
    (void)what;
    if (check->checker->under_way >= MOST_AT_ONCE) {
        wait_for(check, 1 + random_below(&check->checker->random, CROWDED_MS));
        return;
    }
    check->checker->under_way++;
    check->probe.peer_identities = speaks_tls(check) ? &check->cluster->config->tls.peer_identities : NULL;
    health_probe_begin(&check->probe, check->checker->base, &check->endpoint->address.any);
}

/* Whether the endpoint's health changes with this outcome. */
static bool is_decisive(const struct check *check, bool passed)
{
    const struct health_check_config *config = &check->cluster->config->health_check;
    bool is_down = atomic_load_explicit(&check->endpoint->is_down, memory_order_relaxed);

    if (passed)
        return is_down && check->row >= config->rise;
    return !is_down && (!check->is_known || check->row >= config->fall);
}

static void on_done(struct health_probe *probe, enum health_outcome outcome, const char *problem)
{
    struct check *check = CONTAINER_OF(probe, struct check, probe);
    uint64_t interval_ms = check->cluster->config->health_check.interval_ms;
    char address[SOCKADDR_TEXT_SIZE];
    bool passed = outcome == HEALTH_PASSED, is_first = !check->is_known, changes;

    check->checker->under_way--;
    if (outcome == HEALTH_UNKNOWN) {
        log_write_limited(LOG_WARNING, LOG_EVERY_MS, &check->checker->lack_logged_ms, "health checks are left out: %s",
                          problem);
        wait_for(check, interval_ms);
        return;
    }
    check->row = check->is_known && passed == check->last_passed ? check->row + 1 : 1;
    check->last_passed = passed;
    changes = is_decisive(check, passed);
    if (changes) {
        cluster_set_down(check->cluster, check->endpoint, !passed, clock_now_ms());
        sockaddr_format(&check->endpoint->address.any, address);
        if (passed)
            log_info("cluster %s: endpoint %s is healthy again", check->cluster->config->name, address);
        else
            log_warning("cluster %s: endpoint %s is unhealthy: %s", check->cluster->config->name, address, problem);
    }
    check->is_known = true;
    if (is_first || (changes && !passed))
        check->checker->on_outcome(check->checker->owner, check->cluster, changes && !passed);
    if (passed == atomic_load_explicit(&check->endpoint->is_down, memory_order_relaxed))
        interval_ms = MAX(interval_ms / HURRY, (uint64_t)1); /* a verdict is under way */
    /* Nine to eleven tenths, so that a fleet that was started at once does not stay in step. */
    wait_for(check, interval_ms * 9 / 10 + random_below(&check->checker->random, interval_ms / 5 + 1));
}

static void free_check(struct check *check)
{
    list_remove(&check->in_cluster);
    if (transport_is_open(&check->probe.transport))
        check->checker->under_way--;
    health_probe_cancel(&check->probe);
    evtimer_del(&check->timer);
    endpoint_unref(check->endpoint);
    free(check);
}

static int add_check(struct health_checker *checker, struct cluster *cluster, struct endpoint *endpoint)
{
    const struct health_check_config *config = &cluster->config->health_check;
    struct check *check = calloc(1, sizeof *check);

    if (!check)
        return -ENOMEM;
    check->checker = checker;
    check->cluster = cluster;
    check->endpoint = endpoint;
    endpoint_ref(endpoint);
    health_probe_init(&check->probe, config, checker->tls, on_done);
    check->probe.proxy_protocol = (enum proxy_protocol)cluster->config->proxy_protocol;
    evtimer_assign(&check->timer, checker->base, on_timer, check);
    list_append(&checker->checks[cluster->index], &check->in_cluster);
    wait_for(check, random_below(&checker->random, MIN(config->interval_ms, (uint64_t)FIRST_WITHIN_MS) + 1));
    return 0;
}

static struct check *find_check(const struct list_node *checks, const struct endpoint *endpoint)
{
    for (struct list_node *node = checks->next; node != checks; node = node->next) {
        struct check *check = CONTAINER_OF(node, struct check, in_cluster);

        if (check->endpoint == endpoint)
            return check;
    }
    return NULL;
}

static bool has_endpoint(const struct endpoint_set *set, const struct endpoint *endpoint)
{
    for (size_t i = 0; i < set->count; i++) {
        if (set->slots[i].endpoint == endpoint)
            return true;
    }
    return false;
}

static void end_gone(struct list_node *checks, const struct endpoint_set *set)
{
    struct list_node *next;

    for (struct list_node *node = checks->next; node != checks; node = next) {
        struct check *check = CONTAINER_OF(node, struct check, in_cluster);

        next = node->next;
        if (!has_endpoint(set, check->endpoint))
            free_check(check);
    }
}

bool health_checker_knows(const struct health_checker *checker, const struct cluster *cluster)
{
    const struct list_node *checks = &checker->checks[cluster->index];

    for (struct list_node *node = checks->next; node != checks; node = node->next) {
        if (!CONTAINER_OF(node, struct check, in_cluster)->is_known)
            return false;
    }
    return true;
}

static bool has_checks(const struct cluster *cluster)
{
    return cluster->config->health_check.present && cluster->config->health_check.type != HEALTH_CHECK_NONE;
}

int health_checker_update(struct health_checker *checker, struct cluster *cluster)
{
    struct list_node *checks = &checker->checks[cluster->index];
    struct endpoint_set *set;
    int r = 0;

    if (!has_checks(cluster))
        return 0;
    set = cluster_get_endpoints(cluster->state);
    if (!set)
        return 0;
    end_gone(checks, set);
    for (size_t i = 0; r == 0 && i < set->count; i++) {
        if (!find_check(checks, set->slots[i].endpoint))
            r = add_check(checker, cluster, set->slots[i].endpoint);
    }
    endpoint_set_unref(set);
    return r;
}

/* Without checks nobody would ever call an endpoint healthy again. */
static void call_healthy(struct cluster *cluster)
{
    struct endpoint_set *set = cluster_get_endpoints(cluster->state);

    for (size_t i = 0; set && i < set->count; i++) {
        if (atomic_load_explicit(&set->slots[i].endpoint->is_down, memory_order_relaxed))
            cluster_set_down(cluster, set->slots[i].endpoint, false, clock_now_ms());
    }
    endpoint_set_unref(set);
}

int health_checker_new(struct event_base *base, struct cluster_set *clusters, struct health_tls *tls,
                       void (*on_outcome)(void *owner, struct cluster *cluster, bool is_down), void *owner,
                       struct health_checker **ret_checker)
{
    struct health_checker *checker = calloc(1, sizeof *checker);

    if (!checker)
        return -ENOMEM;
    checker->checks = calloc(clusters->count, sizeof *checker->checks);
    if (!checker->checks) {
        free(checker);
        return -ENOMEM;
    }
    checker->base = base;
    checker->tls = tls;
    checker->clusters = clusters;
    checker->on_outcome = on_outcome;
    checker->owner = owner;
    for (size_t i = 0; i < clusters->count; i++)
        list_init(&checker->checks[i]);
    random_init_from_system(&checker->random);
    *ret_checker = checker;
    return 0;
}

/* With what it has found so far, and a probe that is under way. It is better than one that has just been made. */
static void take_check(struct health_checker *checker, struct check *check, struct cluster *cluster)
{
    struct check *fresh = find_check(&checker->checks[cluster->index], check->endpoint);

    if (fresh)
        free_check(fresh);
    if (transport_is_open(&check->probe.transport)) {
        check->checker->under_way--;
        checker->under_way++;
    }
    check->checker = checker;
    check->cluster = cluster;
    check->probe.config = &cluster->config->health_check;
    check->probe.proxy_protocol = (enum proxy_protocol)cluster->config->proxy_protocol;
    if (check->probe.peer_identities)
        check->probe.peer_identities = &cluster->config->tls.peer_identities;
    list_remove(&check->in_cluster);
    list_append(&checker->checks[cluster->index], &check->in_cluster);
}

static void take_over(struct health_checker *checker, struct health_checker *previous)
{
    for (size_t i = 0; i < previous->clusters->count; i++) {
        struct cluster *before = &previous->clusters->clusters[i], *newest = before->state->newest;

        if (!newest || list_is_empty(&previous->checks[i]) ||
            !compare_health_checks(&before->config->health_check, &newest->config->health_check))
            continue;
        while (!list_is_empty(&previous->checks[i]))
            take_check(checker, CONTAINER_OF(previous->checks[i].next, struct check, in_cluster), newest);
    }
}

int health_checker_begin(struct health_checker *checker, struct health_checker *previous)
{
    int r = 0;

    if (previous)
        take_over(checker, previous);
    for (size_t i = 0; i < checker->clusters->count; i++) {
        struct cluster *cluster = &checker->clusters->clusters[i];

        if (!has_checks(cluster))
            call_healthy(cluster);
        else if (health_checker_update(checker, cluster) < 0)
            r = -ENOMEM;
    }
    return r;
}

void health_checker_free(struct health_checker *checker)
{
    if (!checker)
        return;
    for (size_t i = 0; i < checker->clusters->count; i++) {
        while (!list_is_empty(&checker->checks[i]))
            free_check(CONTAINER_OF(checker->checks[i].next, struct check, in_cluster));
    }
    free(checker->checks);
    free(checker);
}

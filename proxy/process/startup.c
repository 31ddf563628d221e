#include "proxy/process/startup.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/log.h"
#include "base/macros.h"
#include "proxy/conn/transparent.h"
#include "proxy/net/listener.h"
#include "proxy/process/process.h"
#include "proxy/process/processors.h"

/* Descriptors that are never used for connections: control, health, metrics, logs, libraries. */
#define RESERVED_DESCRIPTORS 128

#define MOST_AUTO_WORKERS 2

static unsigned worker_count(const struct config *config)
{
    if (config->workers != CONFIG_AUTO)
        return (unsigned)config->workers;
    return MIN(processors_available(), (unsigned)MOST_AUTO_WORKERS);
}

void startup_set_limits(struct process *process)
{
    const struct config *config = process->config;
    struct rlimit limit = { .rlim_cur = 1024, .rlim_max = 1024 };
    uint64_t per_worker = 8 + 4 + config->listeners.count, usable, affordable;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
            getrlimit(RLIMIT_NOFILE, &limit);
    }
    process->shared.count = worker_count(config);
    usable = limit.rlim_cur - MIN(limit.rlim_cur, RESERVED_DESCRIPTORS + per_worker * process->shared.count);
    affordable = MAX(usable / 2, (uint64_t)1); /* a connection has two */
    if (config->limits.max_connections == CONFIG_AUTO) {
        process->shared.limits.max_connections = (unsigned)MIN(affordable, (uint64_t)10000000);
        return;
    }
    process->shared.limits.max_connections = (unsigned)MIN(config->limits.max_connections, affordable);
    if (config->limits.max_connections > affordable)
        log_warning("limits.max_connections is %" PRIu64 ", but the limit of %" PRIu64
                    " descriptors allows only %" PRIu64 " connections; that is the limit now",
                    config->limits.max_connections, (uint64_t)limit.rlim_cur, affordable);
}

static int open_health(struct process *process)
{
    union sockaddr_any addresses[2];
    uint16_t port = (uint16_t)process->config->health.port;

    sockaddr_parse_host("0.0.0.0", port, &addresses[0].inet);
    sockaddr_parse_host("::", port, &addresses[1].inet);
    for (size_t i = 0; i < ARRAY_SIZE(addresses); i++) {
        char text[SOCKADDR_TEXT_SIZE];
        int fd, r = listener_open(&addresses[i].any, false, false, &fd);

        if (addresses[i].family == AF_INET6 && (r == -EAFNOSUPPORT || r == -EADDRNOTAVAIL))
            continue;
        if (r == 0)
            r = http_server_listen(process->health, fd);
        if (r < 0) {
            log_error("health listener %s: %s", sockaddr_format(&addresses[i].any, text), strerror(-r));
            return r;
        }
    }
    return 0;
}

int startup_open_control(struct process *process)
{
    const char *path = process->config->control.path;
    int fd, r;

    r = http_server_new(process->base, control_on_control_request, &process->commands, &process->control);
    if (r == 0)
        r = http_server_new(process->base, control_on_health_request, &process->commands, &process->health);
    if (r < 0)
        return r;
    r = listener_open_unix(path, &fd);
    if (r == 0) {
        process->owns_control_path = true;
        r = http_server_listen(process->control, fd);
    }
    if (r < 0) {
        log_error("control socket %s: %s%s", path, strerror(-r),
                  r == -EADDRINUSE ? "; is another proxy running?"
                  : r == -ENOENT   ? "; its directory must exist"
                                   : "");
        return r;
    }
    return open_health(process);
}

/* Opens one address for each worker. `optional`: a kernel without the address family is not an error. */
static int open_address(struct process *process, const struct worker_listener *listener, const struct sockaddr *address,
                        bool optional)
{
    bool shared = process->shared.count > 1;
    char text[SOCKADDR_TEXT_SIZE];
    int r = listener_check_free(address);

    for (unsigned i = 0; r == 0 && i < process->shared.count; i++) {
        struct worker_listener opened = *listener;

        r = listener_open(address, shared, listener->transparent, &opened.fd);
        if (r < 0)
            break;
        opened.family = address->sa_family;
        opened.port = sockaddr_port(address);
        r = worker_add_listener(&process->shared.workers[i], &opened);
        if (r < 0)
            close(opened.fd);
    }
    if (optional && (r == -EAFNOSUPPORT || r == -EADDRNOTAVAIL)) {
        log_info("listener %s: no IPv6 here; IPv4 only", listener->name);
        return 0;
    }
    if (r < 0)
        log_error("listener %s (%s): %s%s", listener->name, sockaddr_format(address, text), strerror(-r),
                  r == -EPERM && listener->transparent ? "; intercept.inbound.mode tproxy needs NET_ADMIN" : "");
    return r;
}

static int open_capture(struct process *process, const char *name, enum direction direction, struct cluster *cluster,
                        uint16_t port)
{
    bool transparent = direction == DIRECTION_INBOUND && process->config->intercept.inbound.mode == INBOUND_TPROXY;
    struct worker_listener listener = {
        .name = name, .direction = direction, .cluster = cluster, .transparent = transparent
    };
    union inet_address address;
    int r;

    sockaddr_parse_host("0.0.0.0", port, &address);
    r = open_address(process, &listener, &address.any, false);
    if (r < 0)
        return r;
    sockaddr_parse_host("::", port, &address);
    return open_address(process, &listener, &address.any, true);
}

static int open_listeners(struct process *process)
{
    const struct config *config = process->config;
    struct cluster_set *clusters = process->shared.clusters;
    int r = 0;

    if (config->intercept.present) {
        r = open_capture(process, "outbound", DIRECTION_OUTBOUND, clusters->passthrough,
                         (uint16_t)config->intercept.outbound.port);
        if (r == 0)
            r = open_capture(process, "inbound", DIRECTION_INBOUND, clusters->inbound,
                             (uint16_t)config->intercept.inbound.port);
    }
    for (size_t i = 0; r == 0 && i < config->listeners.count; i++) {
        const struct listener_config *configured = &config->listeners.items[i];
        struct worker_listener listener = { .name = configured->name,
                                            .direction = DIRECTION_LISTENER,
                                            .cluster = cluster_set_find(clusters, configured->cluster) };

        r = open_address(process, &listener, &configured->address.any, false);
    }
    return r;
}

static void close_lost(struct process *process)
{
    for (unsigned i = 0; i < process->workers_ready; i++)
        worker_close_lost(&process->shared.workers[i]);
}

/* Whether what the cluster needs to serve is known: its names, and whether its endpoints are there. */
static bool is_known(const struct process *process, const struct cluster *cluster)
{
    return discovery_knows(process->discovery, cluster) && match_hosts_knows(process->match_hosts, cluster) &&
           health_checker_knows(process->health_checker, cluster);
}

/* The first required cluster of which something is not known yet, or NULL. */
static const struct cluster *find_unknown(const struct process *process)
{
    const struct cluster_set *clusters = process->shared.clusters;

    for (size_t i = 0; i < clusters->count; i++) {
        if (clusters->clusters[i].config->required && !is_known(process, &clusters->clusters[i]))
            return &clusters->clusters[i];
    }
    return NULL;
}

static void look_at_endpoints(struct process *process)
{
    if (process->looks_at_endpoints && !find_unknown(process)) {
        process->looks_at_endpoints = false;
        lifecycle_unblock(&process->lifecycle, READINESS_ENDPOINTS);
    }
}

void startup_await_endpoints(struct process *process)
{
    const struct cluster *unknown = find_unknown(process);

    if (unknown)
        log_info("cluster %s is required: not ready before its endpoints are known", unknown->config->name);
    process->looks_at_endpoints = true;
    look_at_endpoints(process);
}

static void on_health_outcome(void *owner, struct cluster *cluster, bool is_down)
{
    if (is_down && cluster->config->close_on_unhealthy)
        close_lost(owner);
    look_at_endpoints(owner);
}

static void on_discovery_answer(void *owner, struct cluster *cluster, bool changed)
{
    struct process *process = owner;

    if (changed && health_checker_update(process->health_checker, cluster) < 0)
        log_error("cluster %s: no memory for the health checks of its new endpoints", cluster->config->name);
    if (changed && cluster->config->close_on_removal)
        close_lost(process);
    look_at_endpoints(process);
}

static void on_host_known(void *owner)
{
    look_at_endpoints(owner);
}

static bool has_names(const struct cluster_set *clusters)
{
    for (size_t i = 0; i < clusters->count; i++) {
        const struct cluster_config *cluster = clusters->clusters[i].config;

        for (size_t j = 0; j < cluster->endpoints.count; j++) {
            if (cluster->endpoints.items[j].at.host)
                return true;
        }
        for (size_t j = 0; j < cluster->match.count; j++) {
            if (cluster->match.items[j].hosts.count > 0)
                return true;
        }
    }
    return false;
}

static int start_discovery(struct process *process)
{
    struct cluster_set *clusters = process->shared.clusters;
    int r = health_checker_new(process->base, clusters, on_health_outcome, process, &process->health_checker);

    if (r < 0 || !has_names(clusters))
        return r;
    r = dns_resolver_new(process->base, &process->config->dns, &process->resolver);
    if (r == -EINVAL)
        log_error("dns: the resolver cannot be set up");
    if (r == 0)
        r = discovery_new(process->base, process->resolver, clusters, on_discovery_answer, process,
                          &process->discovery);
    if (r == 0)
        r = match_hosts_new(process->base, process->resolver, clusters, on_host_known, process, &process->match_hosts);
    if (r < 0)
        return r;
    discovery_begin(process->discovery);
    match_hosts_begin(process->match_hosts);
    return 0;
}

/* They are easily forgotten. */
static void tell_faults(struct cluster_set *clusters)
{
    for (size_t i = 0; i < clusters->count; i++) {
        struct strbuf text;

        if (!faults_are_on(&clusters->clusters[i].faults))
            continue;
        strbuf_init(&text, 512);
        faults_append_text(&clusters->clusters[i].faults, &text);
        log_warning("cluster %s: faults: %s", clusters->clusters[i].config->name, text.text);
        strbuf_done(&text);
    }
}

int startup_start_workers(struct process *process)
{
    struct worker_shared *shared = &process->shared;
    int r;

    shared->config = process->config;
    r = cluster_set_new(process->config, process->started_ms, &shared->clusters);
    if (r < 0)
        return r;
    tell_faults(shared->clusters);
    if (process->config->intercept.present && process->config->intercept.inbound.mode == INBOUND_TPROXY) {
        r = transparent_ports_new(&shared->transparent_ports);
        if (r < 0)
            return r;
    }
    buffer_memory_init(&shared->buffer_memory, process->config->limits.buffer_memory_bytes);
    shared->workers = calloc(shared->count, sizeof *shared->workers);
    if (!shared->workers)
        return -ENOMEM;
    for (unsigned i = 0; i < shared->count; i++) {
        process->workers_ready++;
        r = worker_init(&shared->workers[i], i, shared);
        if (r < 0)
            return r;
    }
    r = start_discovery(process);
    if (r == 0)
        r = open_listeners(process);
    for (unsigned i = 0; r == 0 && i < shared->count; i++)
        r = worker_start(&shared->workers[i]);
    return r;
}

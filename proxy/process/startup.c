#include "proxy/process/startup.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/log.h"
#include "base/macros.h"
#include "proxy/conn/transparent.h"
#include "proxy/net/listener.h"
#include "proxy/observe/access_log.h"
#include "proxy/process/process.h"
#include "proxy/process/processors.h"
#include "proxy/process/takeover.h"

/* Descriptors that are never used for connections: control, health, metrics, logs, libraries. */
#define RESERVED_DESCRIPTORS 128

#define MOST_AUTO_WORKERS 2

static unsigned worker_count(const struct config *config)
{
    if (config->workers != CONFIG_AUTO)
        return (unsigned)config->workers;
    return MIN(processors_available(), (unsigned)MOST_AUTO_WORKERS);
}

int startup_make_workers(struct process *process, const struct config *config)
{
    int r;

    process->shared.count = worker_count(config);
    process->shared.workers = calloc(process->shared.count, sizeof *process->shared.workers);
    cluster_registry_init(&process->clusters, process->shared.count);
    process->shared.listing = &process->listing;
    if (!process->shared.workers)
        return -ENOMEM;
    r = access_log_new(process->shared.count, &process->shared.access_log);
    return r < 0 ? r : listing_init(&process->listing, process->shared.count);
}

void startup_set_limits(struct process *process, const struct config *config)
{
    struct rlimit limit = { .rlim_cur = 1024, .rlim_max = 1024 };
    uint64_t per_worker = 8 + 4 + config->listeners.count, usable, affordable;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
            getrlimit(RLIMIT_NOFILE, &limit);
    }
    usable = limit.rlim_cur - MIN(limit.rlim_cur, RESERVED_DESCRIPTORS + per_worker * process->shared.count);
    affordable = MAX(usable / 2, (uint64_t)1); /* a connection has two */
    process->shared.limits.max_handshakes = (unsigned)config->limits.tls_handshakes;
    process->shared.limits.accept_rate.per_second = config->limits.accept_rate;
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

/* Serves on a socket; from then on it can be handed to another process. */
static int serve(struct process *process, struct http_server *server, const char *kind, const char *address, int fd)
{
    struct control_socket *socket = &process->control_sockets[process->control_socket_count++];

    *socket = (struct control_socket){ .kind = kind, .fd = fd };
    snprintf(socket->address, sizeof socket->address, "%s", address);
    return http_server_listen(server, fd);
}

/* On both hosts; one of IPv6 is left out where the kernel has none. */
static int open_http(struct process *process, struct http_server *server, const char *kind, const char *ipv4,
                     const char *ipv6, uint16_t port)
{
    union inet_address addresses[2];

    sockaddr_parse_host(ipv4, port, &addresses[0]);
    sockaddr_parse_host(ipv6, port, &addresses[1]);
    for (size_t i = 0; i < ARRAY_SIZE(addresses); i++) {
        char text[SOCKADDR_TEXT_SIZE];
        int fd = takeover_take(process->takeover, kind, sockaddr_format(&addresses[i].any, text), 0), r = 0;

        if (fd < 0)
            r = listener_open(&addresses[i].any, false, false, &fd);
        if (addresses[i].family == AF_INET6 && (r == -EAFNOSUPPORT || r == -EADDRNOTAVAIL))
            continue;
        if (r == 0)
            r = serve(process, server, kind, text, fd);
        if (r < 0) {
            log_error("%s listener %s: %s", kind, text, strerror(-r));
            return r;
        }
    }
    return 0;
}

/* A path that was taken over is another process's until takeover_finish(). */
static int open_control(struct process *process, const char *path)
{
    int fd = takeover_take(process->takeover, "control", path, 0), r = 0;

    if (fd < 0) {
        r = listener_open_unix(path, &fd);
        if (r == 0)
            process->control_path = strdup(path);
    }
    if (r == 0)
        r = serve(process, process->control, "control", path, fd);
    if (r < 0)
        log_error("control socket %s: %s%s", path, strerror(-r),
                  r == -EADDRINUSE ? "; is another proxy running?"
                  : r == -ENOENT   ? "; its directory must exist"
                                   : "");
    return r;
}

int startup_open_control(struct process *process, const struct config *config)
{
    int r;

    r = http_server_new(process->base, control_on_control_request, &process->commands, &process->control);
    if (r == 0)
        r = http_server_new(process->base, control_on_health_request, &process->commands, &process->health);
    if (r == 0)
        r = app_prober_new(process->base, &process->prober);
    if (r == 0)
        r = http_server_new(process->base, control_on_admin_request, &process->commands, &process->admin);
    if (r == 0)
        r = open_control(process, config->control.path);
    if (r == 0)
        r = open_http(process, process->health, "health", "0.0.0.0", "::", (uint16_t)config->health.port);
    if (r == 0 && config->admin.port > 0)
        r = open_http(process, process->admin, "admin", "127.0.0.1", "::1", (uint16_t)config->admin.port);
    return r;
}

int startup_start_workers(struct process *process)
{
    const struct config *config = process->snapshot->config;
    struct worker_shared *shared = &process->shared;
    int r = 0;

    if (config->intercept.present && config->intercept.inbound.mode == INBOUND_TPROXY)
        r = transparent_ports_new(&shared->transparent_ports);
    if (r == 0)
        r = tally_new(&shared->limits.clients);
    buffer_memory_init(&shared->buffer_memory, config->limits.buffer_memory_bytes);
    for (unsigned i = 0; r == 0 && i < shared->count; i++) {
        process->workers_ready++;
        r = worker_init(&shared->workers[i], i, shared);
    }
    if (r == 0)
        r = access_log_start(shared->access_log, &config->dns);
    for (unsigned i = 0; r == 0 && i < shared->count; i++)
        r = worker_start(&shared->workers[i]);
    return r;
}

/* A socket that is closed while connections wait in its queue resets them, and a worker more would have no socket. */
int startup_claim(struct process *process, const struct config *config, const char *socket_path)
{
    int r = takeover_claim(socket_path, &process->takeover);

    if (r < 0)
        return r;
    if (takeover_workers(process->takeover) == process->shared.count)
        return 0;
    log_error("takeover: the old process has %u workers, this one would have %u (workers: %s); they share their ports' "
              "connections, so their number cannot change: set workers: %u, or restart",
              takeover_workers(process->takeover), process->shared.count,
              config->workers == CONFIG_AUTO ? "auto" : "given", takeover_workers(process->takeover));
    return -EINVAL;
}

int startup_finish_takeover(struct process *process, const struct config *config, const char *socket_path)
{
    int r = takeover_finish(process->takeover);

    if (r < 0)
        return r;
    if (process->control_path)
        unlink(socket_path); /* nobody is behind it any more */
    else
        process->control_path = strdup(config->control.path);
    takeover_free(process->takeover);
    process->takeover = NULL;
    return 0;
}

#include "proxy/process/listeners.h"

#include <errno.h>
#include <string.h>

#include "base/log.h"
#include "base/sockaddr.h"
#include "proxy/net/listener.h"
#include "proxy/process/process.h"
#include "proxy/process/takeover.h"

static bool is_open(const struct snapshot *snapshot, size_t index)
{
    for (unsigned i = 0; i < snapshot->worker_count; i++) {
        if (atomic_load_explicit(&snapshot_socket(snapshot, i, index)->fd, memory_order_relaxed) < 0)
            return false;
    }
    return true;
}

static bool is_same(const struct listener *one, const struct listener *other)
{
    return one->direction == other->direction && one->transparent == other->transparent &&
           sockaddr_equal(&one->address.any, &other->address.any);
}

static size_t find_open(const struct snapshot *previous, const struct listener *listener)
{
    for (size_t i = 0; previous && i < previous->listener_count; i++) {
        if (is_same(&previous->listeners[i], listener) && is_open(previous, i))
            return i;
    }
    return LISTENER_NEW;
}

static int add(struct snapshot *snapshot, const struct snapshot *previous, struct listener *listener)
{
    listener->kept_from = find_open(previous, listener);
    return snapshot_add_listener(snapshot, listener);
}

static int add_capture(struct snapshot *snapshot, const struct snapshot *previous, const char *name,
                       enum direction direction, struct cluster *cluster, uint16_t port)
{
    static const char *const hosts[] = { "0.0.0.0", "::" };
    int r = 0;

    for (size_t i = 0; r == 0 && i < sizeof hosts / sizeof *hosts; i++) {
        struct listener listener = { .name = name, .direction = direction, .cluster = cluster };

        listener.transparent = direction == DIRECTION_INBOUND &&
                               snapshot->config->intercept.inbound.mode == INBOUND_TPROXY;
        sockaddr_parse_host(hosts[i], port, &listener.address.inet);
        r = add(snapshot, previous, &listener);
    }
    return r;
}

/* Of every listener, what it is and where its sockets come from. */
static int plan(struct snapshot *snapshot, const struct snapshot *previous)
{
    const struct intercept_config *intercept = &snapshot->config->intercept;
    const struct config *config = snapshot->config;
    int r = 0;

    if (intercept->present)
        r = add_capture(snapshot, previous, "outbound", DIRECTION_OUTBOUND, snapshot->clusters->passthrough,
                        (uint16_t)intercept->outbound.port);
    if (r == 0 && intercept->present)
        r = add_capture(snapshot, previous, "inbound", DIRECTION_INBOUND, snapshot->clusters->inbound,
                        (uint16_t)intercept->inbound.port);
    for (size_t i = 0; r == 0 && i < config->listeners.count; i++) {
        const struct listener_config *configured = &config->listeners.items[i];
        struct listener listener = { .name = configured->name,
                                     .address = configured->address,
                                     .direction = DIRECTION_LISTENER,
                                     .accepts_proxy_header = configured->accept_proxy_protocol,
                                     .cluster = cluster_set_find(snapshot->clusters, configured->cluster) };

        r = add(snapshot, previous, &listener);
    }
    return r;
}

/* Whether two sockets of these addresses would meet: the same, or one of them is every address of the port. */
static bool overlap(const union sockaddr_any *one, const union sockaddr_any *other)
{
    return one->family == other->family && sockaddr_port(&one->any) == sockaddr_port(&other->any) &&
           (sockaddr_equal(&one->any, &other->any) || sockaddr_is_any(&one->any) || sockaddr_is_any(&other->any));
}

/* Then the address is not free, but it is this process that has it: our sockets share their ports (SO_REUSEPORT). */
static bool has_address(const struct snapshot *snapshot, const struct listener *listener)
{
    for (size_t i = 0; snapshot && i < snapshot->listener_count; i++) {
        if (overlap(&snapshot->listeners[i].address, &listener->address))
            return true;
    }
    return false;
}

/* One socket for each worker. The capture ports are for IPv6 too, where the kernel has it. */
static int open_one(struct snapshot *snapshot, const struct snapshot *previous, struct takeover *takeover, size_t index)
{
    const struct listener *listener = &snapshot->listeners[index];
    const struct sockaddr *address = &listener->address.any;
    const char *kind = listener->transparent ? "transparent" : "listener";
    char text[SOCKADDR_TEXT_SIZE];
    bool is_ours = has_address(previous, listener);
    int r = 0;

    sockaddr_format(address, text);
    for (unsigned i = 0; r == 0 && i < snapshot->worker_count; i++) {
        int fd = takeover_take(takeover, kind, text, i);

        is_ours |= fd >= 0;
        if (!is_ours)
            r = listener_check_free(address);
        is_ours = true; /* the next one shares it */
        if (r == 0 && fd < 0)
            r = listener_open(address, true, listener->transparent, &fd);
        if (r == 0)
            atomic_init(&snapshot_socket(snapshot, i, index)->fd, fd);
    }
    if (listener->direction != DIRECTION_LISTENER && address->sa_family == AF_INET6 &&
        (r == -EAFNOSUPPORT || r == -EADDRNOTAVAIL)) {
        log_info("listener %s: no IPv6 here; IPv4 only", listener->name);
        return 0;
    }
    if (r < 0)
        log_error("listener %s (%s): %s%s", listener->name, text, strerror(-r),
                  r == -EPERM && listener->transparent ? "; intercept.inbound.mode tproxy needs NET_ADMIN" : "");
    return r;
}

int listeners_open(struct process *process, struct snapshot *snapshot, const struct snapshot *previous)
{
    int r = plan(snapshot, previous);

    if (r == 0)
        r = snapshot_make_sockets(snapshot, process->shared.workers, process->shared.count);
    for (size_t i = 0; r == 0 && i < snapshot->listener_count; i++) {
        bool is_stopped = process->lifecycle.inbound_stopped && snapshot->listeners[i].direction != DIRECTION_OUTBOUND;

        if (snapshot->listeners[i].kept_from == LISTENER_NEW && !is_stopped)
            r = open_one(snapshot, previous, process->takeover, i);
    }
    return r;
}

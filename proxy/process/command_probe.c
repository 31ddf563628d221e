#include "proxy/process/command_probe.h"

#include <errno.h>
#include <string.h>

#include "proxy/probe/app_probe.h"
#include "proxy/process/process.h"

static const struct probe_config *find_probe(const struct config *config, const char *name)
{
    for (size_t i = 0; i < config->probes.count; i++) {
        if (strcmp(config->probes.items[i].name, name) == 0)
            return &config->probes.items[i];
    }
    return NULL;
}

/*
 * The address that the kubelet knows the pod by, which is where it would have asked the app itself. Loopback for who
 * came over the control socket.
 */
static void find_address(int fd, union inet_address *address)
{
    union sockaddr_any local = { 0 };
    socklen_t length = sizeof local;

    if (getsockname(fd, &local.any, &length) < 0 || (local.family != AF_INET && local.family != AF_INET6))
        sockaddr_parse_host("127.0.0.1", 0, address);
    else
        *address = local.inet;
}

void command_probe(void *owner, const struct http_request *request, struct http_response *response)
{
    struct process *process = owner;
    struct config *config = process->snapshot ? process->snapshot->config : NULL;
    const struct probe_config *probe = config ? find_probe(config, request->name) : NULL;
    union inet_address address;
    int r;

    if (!probe) {
        response->status = 404;
        strbuf_append(&response->body, "no such probe is configured\n");
        return;
    }
    find_address(request->fd, &address);
    r = app_prober_ask(process->prober, config, probe, &address, request);
    if (r < 0) {
        response->status = 503;
        strbuf_append(&response->body, r == -EBUSY ? "too many probes at one time\n" : "out of memory\n");
    }
}

/* The side of the old process. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "proxy/process/configuration.h"
#include "proxy/process/process.h"
#include "proxy/process/takeover.h"

struct offer {
    json_t *sockets; /* what each descriptor is, in their order */
    int *fds;
    size_t count;
};

static void add(struct offer *offer, const char *kind, const char *address, unsigned worker, int fd)
{
    if (fd < 0)
        return;
    json_array_append_new(offer->sockets,
                          json_pack("{s:s, s:s, s:i}", "kind", kind, "address", address, "worker", worker));
    offer->fds[offer->count++] = fd;
}

static void add_all(const struct process *process, struct offer *offer)
{
    const struct snapshot *snapshot = process->snapshot;

    for (unsigned i = 0; i < process->control_socket_count; i++)
        add(offer, process->control_sockets[i].kind, process->control_sockets[i].address, 0,
            process->control_sockets[i].fd);
    for (unsigned i = 0; i < snapshot->worker_count; i++) {
        for (size_t j = 0; j < snapshot->listener_count; j++) {
            char address[SOCKADDR_TEXT_SIZE];

            add(offer, snapshot->listeners[j].transparent ? "transparent" : "listener",
                sockaddr_format(&snapshot->listeners[j].address.any, address), i,
                atomic_load_explicit(&snapshot_socket(snapshot, i, j)->fd, memory_order_relaxed));
        }
    }
}

void takeover_run_offer(void *owner, const struct http_request *request, struct http_response *response)
{
    struct process *process = owner;
    size_t most = process->control_socket_count + process->snapshot->worker_count * process->snapshot->listener_count;
    struct offer offer = { .sockets = json_array(), .fds = calloc(most + 1, sizeof *offer.fds) };
    char *json = NULL;
    json_t *answer;
    int r = -1;

    if (process->lifecycle.exits) {
        response->status = 409;
        strbuf_append(&response->body, "too late: the process is ending\n");
        goto out;
    }
    if (!process_await(process, configuration_is_settled)) {
        response->status = 503;
        strbuf_append(&response->body, "a worker has not changed over to the last configuration yet; try again\n");
        goto out;
    }
    if (offer.fds) {
        add_all(process, &offer);
        r = http_pass_descriptors(request, offer.fds, offer.count);
    }
    if (r < 0) {
        response->status = 500;
        strbuf_printf(&response->body, "the sockets cannot be passed: %s\n", strerror(-r));
        goto out;
    }
    answer = json_pack("{s:s, s:i, s:O}", "version", OUTRIGGER_VERSION, "workers", (int)process->workers_ready,
                       "sockets", offer.sockets);
    json = json_dumps(answer, JSON_INDENT(2));
    json_decref(answer);
    process->taker = request->client;
    process->taker_serial = process->snapshot->serial;
    response->content_type = "application/json";
    strbuf_printf(&response->body, "%s\n", json ? json : "{}");
    log_info("another process asks to take over: it was given %zu sockets", offer.count);
out:
    free(json);
    json_decref(offer.sockets);
    free(offer.fds);
}

void takeover_run_done(void *owner, const struct http_request *request, struct http_response *response)
{
    struct process *process = owner;

    if (process->lifecycle.exits) {
        response->status = 409;
        strbuf_append(&response->body, "too late: the process is ending\n");
        return;
    }
    /* Whoever says that it has the sockets must be the one that was given them, all that there are now. */
    if (process->taker == 0 || process->taker != request->client ||
        process->taker_serial != process->snapshot->serial) {
        response->status = 409;
        strbuf_append(&response->body, "first POST /takeover, on the same connection, since the last reload\n");
        return;
    }
    if (http_client_is_gone(request)) {
        log_warning("the process that was about to take over is gone");
        response->status = 409;
        return;
    }
    log_info("another process has taken over");
    free(process->control_path); /* it belongs to that one */
    process->control_path = NULL;
    process_be_taken_over(process);
    strbuf_append(&response->body, "the listeners are yours\n");
}

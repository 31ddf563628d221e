#include "proxy/probe/app_probe.h"

#include <errno.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/interception.h"
#include "base/list.h"
#include "base/log.h"
#include "proxy/probe/probe.h"

/* One that is under way. */
struct running {
    struct list_node in_prober;
    struct app_prober *prober;
    struct config *config;
    struct probe_question question;
    struct probe *probe;
    struct list_node waiters; /* as many as there are clients */
};

/* A client that waits for its answer. */
struct waiter {
    struct list_node in_running;
    struct http_pending *pending;
};

/* A probe whose last answer was bad, so that only changes are logged. At most as many as there are probes. */
struct failing {
    struct list_node in_prober;
    char name[];
};

struct app_prober {
    struct event_base *base;
    struct list_node running, failing;
    size_t running_count;
    SSL_CTX *tls; /* once it was needed */
};

static void answer(struct http_pending *pending, int status, const char *words)
{
    struct http_response response = HTTP_RESPONSE_INIT;

    response.status = status;
    strbuf_init(&response.body, 512);
    strbuf_printf(&response.body, "%s\n", words);
    http_answer(pending, &response);
    strbuf_done(&response.body);
}

/* The client, or its answer. */
static void on_gone(void *owner)
{
    struct waiter *waiter = owner;

    list_remove(&waiter->in_running);
    free(waiter);
}

static void end(struct running *running, int status, const char *words)
{
    list_remove(&running->in_prober);
    running->prober->running_count--;
    while (!list_is_empty(&running->waiters)) {
        struct waiter *waiter = CONTAINER_OF(running->waiters.next, struct waiter, in_running);

        answer(waiter->pending, status, words);
        on_gone(waiter);
    }
    config_free(running->config);
    free(running);
}

static struct failing *find_failing(const struct app_prober *prober, const char *name)
{
    for (struct list_node *node = prober->failing.next; node != &prober->failing; node = node->next) {
        struct failing *failing = CONTAINER_OF(node, struct failing, in_prober);

        if (strcmp(failing->name, name) == 0)
            return failing;
    }
    return NULL;
}

static void note(struct app_prober *prober, const char *name, bool is_well, const char *words)
{
    struct failing *failing = find_failing(prober, name);

    if (is_well == !failing)
        return;
    if (is_well) {
        log_info("probe %s: the app is well", name);
        list_remove(&failing->in_prober);
        free(failing);
        return;
    }
    log_info("probe %s: %s", name, words);
    failing = malloc(sizeof *failing + strlen(name) + 1);
    if (!failing)
        return;
    strcpy(failing->name, name);
    list_append(&prober->failing, &failing->in_prober);
}

static void on_done(void *owner, int status, const char *words)
{
    struct running *running = owner;

    note(running->prober, running->question.config->name, status == 200, words);
    end(running, status, words);
}

int app_prober_new(struct event_base *base, struct app_prober **ret_prober)
{
    struct app_prober *prober = calloc(1, sizeof *prober);

    if (!prober)
        return -ENOMEM;
    prober->base = base;
    list_init(&prober->running);
    list_init(&prober->failing);
    *ret_prober = prober;
    return 0;
}

void app_prober_free(struct app_prober *prober)
{
    if (!prober)
        return;
    while (!list_is_empty(&prober->running)) {
        struct running *running = CONTAINER_OF(prober->running.next, struct running, in_prober);

        probe_cancel(running->probe);
        end(running, 503, "the proxy is ending");
    }
    while (!list_is_empty(&prober->failing)) {
        struct failing *failing = CONTAINER_OF(prober->failing.next, struct failing, in_prober);

        list_remove(&failing->in_prober);
        free(failing);
    }
    SSL_CTX_free(prober->tls);
    free(prober);
}

static struct running *find_running(const struct app_prober *prober, const struct probe_config *probe,
                                    const union inet_address *address)
{
    for (struct list_node *node = prober->running.next; node != &prober->running; node = node->next) {
        struct running *running = CONTAINER_OF(node, struct running, in_prober);

        if (running->question.config == probe && sockaddr_equal(&running->question.address.any, &address->any))
            return running;
    }
    return NULL;
}

/* Returns 0 or -ENOMEM. */
static int begin(struct app_prober *prober, struct config *config, const struct probe_config *probe,
                 const union inet_address *address, struct running **ret_running)
{
    struct running *running = calloc(1, sizeof *running);

    if (!running)
        return -ENOMEM;
    running->question.config = probe;
    running->question.address = *address;
    running->question.tls = &prober->tls;
    /* As connections to the app have it, so that the redirect rules leave it alone. */
    if (config->intercept.present)
        sockaddr_parse_host(address->family == AF_INET ? INTERCEPTION_APP_SOURCE_IPV4 : INTERCEPTION_APP_SOURCE_IPV6, 0,
                            &running->question.source);
    if (probe_begin(prober->base, &running->question, on_done, running, &running->probe) < 0) {
        free(running);
        return -ENOMEM;
    }
    running->prober = prober;
    running->config = config_ref(config);
    list_init(&running->waiters);
    list_append(&prober->running, &running->in_prober);
    prober->running_count++;
    *ret_running = running;
    return 0;
}

int app_prober_ask(struct app_prober *prober, struct config *config, const struct probe_config *probe,
                   const union inet_address *address, const struct http_request *request)
{
    union inet_address target = *address;
    struct waiter *waiter = calloc(1, sizeof *waiter);
    struct running *running;
    int r = waiter ? 0 : -ENOMEM;

    sockaddr_set_port(&target.any, (uint16_t)probe->port);
    running = find_running(prober, probe, &target);
    if (r == 0 && !running && prober->running_count >= APP_PROBES_MOST)
        r = -EBUSY;
    if (r == 0 && !running)
        r = begin(prober, config, probe, &target, &running);
    if (r == 0) {
        waiter->pending = http_defer(request, (unsigned)probe->timeout_ms, on_gone, waiter);
        r = waiter->pending ? 0 : -ENOMEM;
    }
    if (r < 0) {
        free(waiter);
        return r;
    }
    list_append(&running->waiters, &waiter->in_running);
    return 0;
}

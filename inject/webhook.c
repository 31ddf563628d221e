#include "inject/webhook.h"

#include <errno.h>
#include <event2/event.h>
#include <malloc.h>
#include <signal.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/macros.h"
#include "base/sockaddr.h"
#include "control/http_server.h"
#include "inject/certificate.h"
#include "inject/review.h"

#define IDLE_S       180 /* the API server keeps its connections, and would meet one that just closes */
#define LARGE        (256 * 1024)
#define LONGEST_END  10 /* seconds, for what is still asked */
#define BACKLOG      1024
#define MOST_CLIENTS 2000 /* the API server has one for each review at one time */
#define MOST_BYTES   (48UL * 1024 * 1024)

struct webhook {
    const struct webhook_settings *settings;
    struct event_base *base;
    struct http_server *server;
    struct certificate certificate;
    struct event *signals[2], *tick;
    uint64_t ends_ms; /* when it stops listening; 0: it has not been told to end */
    bool has_finished;
    unsigned long reviews[REVIEW_RESULT_COUNT];
};

static SSL_CTX *on_tls(void *owner)
{
    struct webhook *webhook = owner;

    return certificate_get(&webhook->certificate, clock_now_ms());
}

static void run_review(struct webhook *webhook, const struct http_request *request, struct http_response *response)
{
    size_t type = strcspn(request->content_type, "; \t");
    struct review_outcome outcome;

    if (type != strlen("application/json") || strncasecmp(request->content_type, "application/json", type) != 0) {
        webhook->reviews[REVIEW_ERROR]++;
        response->status = 415;
        strbuf_append(&response->body, "expected Content-Type: application/json\n");
        return;
    }
    response->status = review_answer(request->body, request->body_length, &webhook->settings->inject, &response->body,
                                     &outcome);
    if (response->status == 200)
        response->content_type = "application/json";
    if (request->body_length > LARGE)
        malloc_trim(0); /* what it needed is not needed again */
    webhook->reviews[outcome.result]++;
    if (outcome.result == REVIEW_ERROR)
        log_warning("a review that cannot be answered: %s", outcome.words);
    else
        log_info("pod %s: %s%s%s", outcome.pod, review_result_name(outcome.result), outcome.words[0] ? ": " : "",
                 outcome.words);
}

static void run_live(struct webhook *webhook, const struct http_request *request, struct http_response *response)
{
    (void)webhook;
    (void)request;
    strbuf_append(&response->body, "live\n");
}

static void run_ready(struct webhook *webhook, const struct http_request *request, struct http_response *response)
{
    (void)request;
    response->status = webhook->ends_ms ? 503 : 200;
    strbuf_append(&response->body, webhook->ends_ms ? "ending\n" : "ready\n");
}

static void run_metrics(struct webhook *webhook, const struct http_request *request, struct http_response *response)
{
    struct strbuf *text = &response->body;

    (void)request;
    response->content_type = "text/plain; version=0.0.4; charset=utf-8";
    strbuf_append(text, "# HELP outrigger_inject_reviews_total Reviews that were answered, by what came of them.\n"
                        "# TYPE outrigger_inject_reviews_total counter\n");
    for (enum review_result i = 0; i < REVIEW_RESULT_COUNT; i++)
        strbuf_printf(text, "outrigger_inject_reviews_total{result=\"%s\"} %lu\n", review_result_name(i),
                      webhook->reviews[i]);
    strbuf_printf(text,
                  "# HELP outrigger_inject_certificate_loads_total Times that the certificate was read.\n"
                  "# TYPE outrigger_inject_certificate_loads_total counter\n"
                  "outrigger_inject_certificate_loads_total{result=\"ok\"} %lu\n"
                  "outrigger_inject_certificate_loads_total{result=\"failed\"} %lu\n"
                  "# HELP outrigger_inject_certificate_expiry_timestamp_seconds When the certificate in force ends.\n"
                  "# TYPE outrigger_inject_certificate_expiry_timestamp_seconds gauge\n"
                  "outrigger_inject_certificate_expiry_timestamp_seconds %.0f\n"
                  "# HELP outrigger_inject_clients Connections that are open.\n"
                  "# TYPE outrigger_inject_clients gauge\n"
                  "outrigger_inject_clients %u\n"
                  "# HELP outrigger_inject_build_info The version.\n"
                  "# TYPE outrigger_inject_build_info gauge\n"
                  "outrigger_inject_build_info{version=\"" OUTRIGGER_VERSION "\"} 1\n",
                  webhook->certificate.loads, webhook->certificate.failures, webhook->certificate.expires_s,
                  http_server_clients(webhook->server));
}

static const struct {
    const char *method, *path;
    void (*run)(struct webhook *webhook, const struct http_request *request, struct http_response *response);
} routes[] = {
    { "POST", "/inject", run_review },
    { "GET", "/healthz/live", run_live },
    { "GET", "/healthz/ready", run_ready },
    { "GET", "/metrics", run_metrics },
};

static void on_request(void *owner, const struct http_request *request, struct http_response *response)
{
    bool is_known = false;

    for (size_t i = 0; i < ARRAY_SIZE(routes); i++) {
        if (strcmp(routes[i].path, request->path) != 0)
            continue;
        is_known = true;
        if (strcmp(routes[i].method, request->method) == 0) {
            routes[i].run(owner, request, response);
            return;
        }
    }
    response->status = is_known ? 405 : 404;
    strbuf_append(&response->body, is_known ? "the path exists, but not with this method\n" : "no such path\n");
}

/* Every 100 ms once it is told to end: there is nothing that tells when the last client has gone. */
static void on_tick(evutil_socket_t fd, short what, void *argument)
{
    struct webhook *webhook = argument;
    uint64_t now_ms = clock_now_ms();

    (void)fd;
    (void)what;
    if (now_ms < webhook->ends_ms)
        return;
    if (!webhook->has_finished)
        log_info("no new connections any more; %u are open", http_server_clients(webhook->server));
    webhook->has_finished = true;
    http_server_finish(webhook->server);
    if (http_server_clients(webhook->server) == 0 || now_ms > webhook->ends_ms + LONGEST_END * 1000)
        event_base_loopbreak(webhook->base);
}

static void on_signal(evutil_socket_t number, short what, void *argument)
{
    const struct timeval often = { .tv_usec = 100000 };
    struct webhook *webhook = argument;

    (void)number;
    (void)what;
    if (webhook->ends_ms) {
        event_base_loopbreak(webhook->base);
        return;
    }
    log_info("told to end: not ready from now on");
    webhook->ends_ms = MAX(clock_now_ms() + webhook->settings->shutdown_delay_ms, 1UL);
    event_add(webhook->tick, &often);
}

/* Returns the listening socket, or a negative errno. */
static int open_listener(const union inet_address *address)
{
    int fd = socket(address->family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1, off = 0, r;

    if (fd < 0)
        return -errno;
    r = setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (r == 0 && address->family == AF_INET6) /* [::] is every address, of IPv4 too */
        r = setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
    if (r == 0)
        r = bind(fd, &address->any, sockaddr_length(&address->any));
    if (r == 0)
        r = listen(fd, BACKLOG);
    if (r == 0)
        return fd;
    r = -errno;
    close(fd);
    return r;
}

static int start(struct webhook *webhook)
{
    static const int numbers[] = { SIGTERM, SIGINT };
    const struct http_server_settings http = { .most_body_bytes = REVIEW_MOST_BYTES,
                                               .most_bytes = MOST_BYTES,
                                               .most_clients = MOST_CLIENTS,
                                               .idle_s = IDLE_S,
                                               .tls = on_tls };
    union sockaddr_any address;
    union inet_address ipv4;
    const char *problem;
    int fd;

    if (sockaddr_parse(webhook->settings->listen, &address, &problem) < 0 || address.family == AF_UNIX) {
        log_error("--listen %s: expected an address and port, such as 0.0.0.0:8443", webhook->settings->listen);
        return -EINVAL;
    }
    if (certificate_init(&webhook->certificate, webhook->settings->certificate_path, webhook->settings->key_path) < 0)
        return -EINVAL;
    webhook->base = event_base_new();
    if (!webhook->base || http_server_new(webhook->base, on_request, webhook, &webhook->server) < 0)
        return -ENOMEM;
    http_server_configure(webhook->server, &http);
    webhook->tick = event_new(webhook->base, -1, EV_PERSIST, on_tick, webhook);
    for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
        webhook->signals[i] = evsignal_new(webhook->base, numbers[i], on_signal, webhook);
        if (!webhook->tick || !webhook->signals[i] || evsignal_add(webhook->signals[i], NULL) < 0)
            return -ENOMEM;
    }
    fd = open_listener(&address.inet);
    if (fd == -EAFNOSUPPORT && address.family == AF_INET6 && sockaddr_is_any(&address.any) &&
        sockaddr_parse_host("0.0.0.0", sockaddr_port(&address.any), &ipv4) == 0)
        fd = open_listener(&ipv4); /* a node without IPv6 */
    if (fd < 0) {
        log_error("--listen %s: %s", webhook->settings->listen, strerror(-fd));
        return fd;
    }
    return http_server_listen(webhook->server, fd);
}

static void done(struct webhook *webhook)
{
    http_server_free(webhook->server);
    for (size_t i = 0; i < ARRAY_SIZE(webhook->signals); i++) {
        if (webhook->signals[i])
            event_free(webhook->signals[i]);
    }
    if (webhook->tick)
        event_free(webhook->tick);
    if (webhook->base)
        event_base_free(webhook->base);
    certificate_done(&webhook->certificate);
}

int webhook_run(const struct webhook_settings *settings)
{
    struct webhook webhook = { .settings = settings };
    int r;

    log_configure(LOG_INFO, LOG_FORMAT_JSON);
    signal(SIGPIPE, SIG_IGN);
    r = start(&webhook);
    if (r == 0) {
        log_info("outrigger-inject " OUTRIGGER_VERSION " answers on %s", settings->listen);
        r = event_base_dispatch(webhook.base) < 0 ? -EIO : 0;
    }
    if (r == -ENOMEM)
        log_error("out of memory");
    done(&webhook);
    if (r == 0)
        log_info("ended");
    return r < 0 ? 1 : 0;
}

#include "proxy/process/commands.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/macros.h"
#include "proxy/observe/dashboard/dashboard.h"
#include "proxy/process/command_clusters.h"
#include "proxy/process/command_probe.h"
#include "proxy/process/command_trace.h"
#include "proxy/process/command_views.h"
#include "proxy/process/process.h"
#include "proxy/process/takeover.h"

/* A worker whose loop has not turned for this long is stuck. */
#define STUCK_MS 5000

#define JSON "application/json"

static void run_ready(void *owner, const struct http_request *request, struct http_response *response)
{
    const struct lifecycle *lifecycle = &((struct process *)owner)->lifecycle;

    if (readiness_is_ready(&lifecycle->readiness)) {
        strbuf_append(&response->body, "ready\n");
        return;
    }
    response->status = 503;
    if (request->wants_text) {
        strbuf_printf(&response->body, "%s, blockers: ", lifecycle_state_name(lifecycle->state));
        readiness_append_blockers(&lifecycle->readiness, "", &response->body);
        strbuf_append(&response->body, "\n");
        return;
    }
    response->content_type = JSON;
    strbuf_printf(&response->body, "{\"state\":\"%s\",\"blockers\":[", lifecycle_state_name(lifecycle->state));
    readiness_append_blockers(&lifecycle->readiness, "\"", &response->body);
    strbuf_append(&response->body, "]}\n");
}

static void run_live(void *owner, const struct http_request *request, struct http_response *response)
{
    const struct process *process = owner;
    uint64_t now_ms = clock_now_ms();

    (void)request;
    for (unsigned i = 0; i < process->workers_ready; i++) {
        uint64_t alive_ms = atomic_load_explicit(&process->shared.workers[i].alive_ms, memory_order_relaxed);

        if (alive_ms > 0 && now_ms > alive_ms + STUCK_MS) {
            response->status = 503;
            strbuf_printf(&response->body, "worker %u is stuck\n", i);
            return;
        }
    }
    strbuf_append(&response->body, "live\n");
}

static void run_reload(void *owner, const struct http_request *request, struct http_response *response)
{
    int r = reload_run(owner, &response->body);

    (void)request;
    if (r == -EINVAL)
        response->status = 400;
    else if (r == -EBUSY)
        response->status = 503;
    else if (r < 0 && r != -EALREADY)
        response->status = 500;
}

static void run_drain(void *owner, const struct http_request *request, struct http_response *response)
{
    (void)request;
    process_drain(owner);
    strbuf_append(&response->body, "draining\n");
}

static void run_undrain(void *owner, const struct http_request *request, struct http_response *response)
{
    int r = process_undrain(owner);

    (void)request;
    if (r == 0 || r == -EALREADY) {
        strbuf_append(&response->body, r == 0 ? "accepting again\n" : "it does not drain\n");
        return;
    }
    response->status = r == -EBUSY ? 409 : r == -ETIMEDOUT ? 503 : 500;
    if (r == -EBUSY)
        strbuf_append(&response->body, "too late: the process is ending\n");
    else if (r == -ETIMEDOUT)
        strbuf_append(&response->body, "a worker has not stopped accepting yet; it goes on draining; try again\n");
    else
        strbuf_printf(&response->body, "%s; it goes on draining\n", strerror(-r));
}

/* The body is the level's name. Without one: which it is. */
static void run_log_level(void *owner, const struct http_request *request, struct http_response *response)
{
    static const char *const names[] = { "error", "warning", "info", "debug" };
    size_t length = strcspn(request->body, " \r\n");

    (void)owner;
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        if (length != strlen(names[i]) || strncmp(request->body, names[i], length) != 0)
            continue;
        log_set_level((enum log_level)i);
        log_write((enum log_level)i, "log level: %s", names[i]);
        strbuf_printf(&response->body, "%s\n", names[i]);
        return;
    }
    response->status = 400;
    strbuf_printf(&response->body, "\"%.*s\" is no level; allowed: error, warning, info, debug; now: %s\n",
                  (int)MIN(length, (size_t)32), request->body, names[log_get_level()]);
}

static void on_quit_later(evutil_socket_t fd, short what, void *argument)
{
    (void)fd;
    (void)what;
    process_quit(argument);
}

/* After the answer has had a turn of the loop to leave. */
static void run_quit(void *owner, const struct http_request *request, struct http_response *response)
{
    const struct timeval soon = { .tv_usec = 10000 };
    struct process *process = owner;

    (void)request;
    event_base_once(process->base, -1, EV_TIMEOUT, on_quit_later, process, &soon);
    response->status = 202;
    strbuf_append(&response->body, "draining, then ending\n");
}

static void run_dashboard(void *owner, const struct http_request *request, struct http_response *response)
{
    (void)owner;
    (void)request;
    response->headers = dashboard_headers();
    if (!response->headers) {
        response->status = 500;
        strbuf_append(&response->body, "out of memory\n");
        return;
    }
    response->content_type = "text/html; charset=utf-8";
    dashboard_append(&response->body);
}

static const struct control_command commands[] = {
    { .method = "GET",
      .path = "/",
      .permission = CONTROL_READ,
      .run = run_dashboard,
      .summary = "The dashboard, a page for browsers" },
    { .method = "GET",
      .path = "/healthz/ready",
      .permission = CONTROL_READ,
      .on_health = true,
      .run = run_ready,
      .summary = "Whether the proxy is ready; when it is not, its state and what is in the way",
      .statuses = "503 not ready: JSON" },
    { .method = "GET",
      .path = "/healthz/live",
      .permission = CONTROL_READ,
      .on_health = true,
      .run = run_live,
      .summary = "Whether every worker's loop turns",
      .statuses = "503 one has been stuck for more than five seconds" },
    { .method = "GET",
      .path = "/metrics",
      .permission = CONTROL_READ,
      .on_health = true,
      .run = command_metrics,
      .summary = "Metrics in Prometheus' text format" },
    { .method = "GET",
      .path = "/probe/",
      .permission = CONTROL_READ,
      .on_health = true,
      .run = command_probe,
      .summary = "Asks the app, as `probes` of the configuration says, on the kubelet's behalf",
      .name = "{name}",
      .statuses = "503 the app is not well, and why; or its own status, from 400\n404 no such probe is configured" },
    { .method = "GET",
      .path = "/status",
      .permission = CONTROL_READ,
      .run = command_status,
      .summary = "State, configuration, clusters with their endpoints and traffic",
      .answers_json = true },
    { .method = "GET",
      .path = "/clusters",
      .permission = CONTROL_READ,
      .run = command_clusters,
      .summary = "The clusters of /status alone",
      .answers_json = true },
    { .method = "GET",
      .path = "/connections",
      .permission = CONTROL_READ,
      .run = command_connections,
      .summary =
          "The connections that are open, of each worker the oldest 1000; `?cluster=`, `id=`, `direction=`, `state=`, "
          "`client=` and `endpoint=` (an address or its beginning), `age=`, `idle=` (at least) choose among them",
      .statuses = "400 the query is not understood\n503 a worker is stuck",
      .answers_json = true },
    { .method = "GET",
      .path = "/endings",
      .permission = CONTROL_READ,
      .run = command_endings,
      .summary = "The last connections that ended in a way that was not meant, of each worker 32, the newest first",
      .statuses = "503 a worker is stuck",
      .answers_json = true },
    { .method = "GET",
      .path = "/config",
      .permission = CONTROL_READ,
      .run = command_config,
      .summary = "The configuration in force with all its defaults; as text/plain in YAML. Both load to the same",
      .answers_json = true },
    { .method = "GET",
      .path = "/stats",
      .permission = CONTROL_READ,
      .run = command_stats,
      .summary = "The process as a whole: connections, memory, descriptors, workers",
      .answers_json = true },
    { .method = "GET",
      .path = "/identity",
      .permission = CONTROL_READ,
      .run = command_identity,
      .summary = "The own certificate, whom it makes trust, and how handshakes have ended",
      .answers_json = true },
    { .method = "GET",
      .path = "/authorization",
      .permission = CONTROL_READ,
      .run = command_explain_authorization,
      .summary =
          "Whether a peer may reach the app, and by which rule: `?port=8080&source=10.0.0.1&identity=spiffe://…`",
      .statuses = "400 the question is not complete",
      .answers_json = true },
    { .method = "POST",
      .path = "/drain",
      .permission = CONTROL_CHANGE,
      .run = run_drain,
      .summary = "Not ready from now on; after drain.delay no new inbound connections. The proxy goes on running" },
    { .method = "POST",
      .path = "/undrain",
      .permission = CONTROL_CHANGE,
      .run = run_undrain,
      .summary = "Takes drain back: accepts again, and is ready",
      .statuses = "409 the process is ending\n500 an address cannot be listened on any more; it goes on draining\n"
                  "503 a worker has not stopped accepting yet; try again" },
    { .method = "POST",
      .path = "/quit",
      .permission = CONTROL_QUIT,
      .run = run_quit,
      .summary = "Drains, then ends the process; asked again, ends it now",
      .statuses = "202 it has begun" },
    { .method = "POST",
      .path = "/reload",
      .permission = CONTROL_CHANGE,
      .run = run_reload,
      .summary = "Loads the configuration's file again. When this answers 200 it is in force everywhere",
      .statuses = "400 every mistake in the file, a line each; the old configuration stays\n"
                  "500 an address cannot be listened on, or no memory; the old configuration stays\n"
                  "503 a worker has not changed over to the last one yet" },
    { .method = "POST",
      .path = "/takeover",
      .permission = CONTROL_CHANGE,
      .run = takeover_run_offer,
      .summary =
          "For `outrigger --takeover`: passes every listening socket (SCM_RIGHTS, with interim responses 103) and "
          "says what they are; nothing changes yet",
      .statuses = "409 the process is ending\n500 the sockets cannot be passed\n"
                  "503 a worker has not changed over to the last configuration yet",
      .answers_json = true },
    { .method = "POST",
      .path = "/takeover/done",
      .permission = CONTROL_CHANGE,
      .run = takeover_run_done,
      .summary = "For `outrigger --takeover`: lets go of the sockets, and ends with the last connection or at "
                 "takeover.timeout",
      .statuses = "409 the process is ending, or this connection was not given the sockets" },
    { .method = "POST",
      .path = "/trace",
      .permission = CONTROL_CHANGE,
      .run = command_trace,
      .summary =
          "What the connections of a cluster, or one of them, have done since the last time this was asked: a line or "
          "a JSON object each. Whoever does not ask for three seconds watches no more",
      .body = "session=NUMBER CLUSTER|CONNECTION; without a name: the end",
      .statuses = "400 the body is not understood\n409 another session watches" },
    { .method = "POST",
      .path = "/log-level",
      .permission = CONTROL_CHANGE,
      .run = run_log_level,
      .summary = "Which messages are logged, until the next start or another log.level in the file",
      .body = "error, warning, info or debug" },
    { .method = "POST",
      .path = "/endpoints/",
      .permission = CONTROL_CHANGE,
      .run = command_endpoint,
      .summary =
          "eject: no connection goes to an endpoint any more; restore: it is used again, whatever had ejected it",
      .name = "{cluster}/{verb}",
      .body = "the endpoint's address, as /clusters has it" },
    { .method = "POST",
      .path = "/faults/",
      .permission = CONTROL_CHANGE,
      .run = command_set_faults,
      .summary = "Injects these faults into a cluster's new connections, and no others",
      .name = "{cluster}",
      .body = "a cluster's `faults` as YAML or JSON; empty: none" },
    { .method = "DELETE",
      .path = "/faults/",
      .permission = CONTROL_CHANGE,
      .run = command_clear_faults,
      .summary = "The configured faults again",
      .name = "{cluster}" },
};

const struct control_command *commands_get(size_t *ret_count)
{
    *ret_count = ARRAY_SIZE(commands);
    return commands;
}

/* user_namespaces(7): a uid without a mapping shows as this one, so it is nobody in particular. */
#define OVERFLOW_UID 65534

static bool rules_match(const struct uid_rules *rules, uid_t uid)
{
    for (size_t i = 0; i < rules->count; i++) {
        const struct uid_rule *rule = &rules->items[i];

        if (rule->kind == UID_RULE_ANY)
            return true;
        if (uid != OVERFLOW_UID && uid == (rule->kind == UID_RULE_OWN ? geteuid() : rule->uid))
            return true;
    }
    return false;
}

static bool is_allowed(void *owner, uid_t uid, enum control_permission permission)
{
    const struct control_config *control = &((struct process *)owner)->snapshot->config->control;

    return rules_match(&control->allow.all, uid) ||
           (permission == CONTROL_READ && rules_match(&control->allow.read, uid)) ||
           (permission == CONTROL_QUIT && rules_match(&control->allow.quit, uid));
}

void commands_init(struct process *process)
{
    process->commands = (struct control_server_config){
        .commands = commands, .command_count = ARRAY_SIZE(commands), .owner = process, .is_allowed = is_allowed
    };
}

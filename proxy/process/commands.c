#include "proxy/process/commands.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/macros.h"
#include "proxy/process/command_clusters.h"
#include "proxy/process/command_views.h"
#include "proxy/process/process.h"

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
    response->status = r == -EBUSY ? 409 : 500;
    if (r == -EBUSY)
        strbuf_append(&response->body, "too late: the process is ending\n");
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

static const struct control_command commands[] = {
    { "GET", "/healthz/ready", CONTROL_READ, true, run_ready },
    { "GET", "/healthz/live", CONTROL_READ, true, run_live },
    { "GET", "/metrics", CONTROL_READ, true, command_metrics },
    { "GET", "/status", CONTROL_READ, false, command_status },
    { "GET", "/clusters", CONTROL_READ, false, command_clusters },
    { "GET", "/connections", CONTROL_READ, false, command_connections },
    { "GET", "/config", CONTROL_READ, false, command_config },
    { "GET", "/stats", CONTROL_READ, false, command_stats },
    { "POST", "/undrain", CONTROL_CHANGE, false, run_undrain },
    { "POST", "/log-level", CONTROL_CHANGE, false, run_log_level },
    { "POST", "/endpoints/", CONTROL_CHANGE, false, command_endpoint },
    { "POST", "/reload", CONTROL_CHANGE, false, run_reload },
    { "POST", "/drain", CONTROL_CHANGE, false, run_drain },
    { "POST", "/quit", CONTROL_QUIT, false, run_quit },
    { "POST", "/faults/", CONTROL_CHANGE, false, command_set_faults },
    { "DELETE", "/faults/", CONTROL_CHANGE, false, command_clear_faults },
};

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

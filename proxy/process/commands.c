#include "proxy/process/commands.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/macros.h"
#include "base/suggest.h"
#include "proxy/observe/prometheus.h"
#include "proxy/observe/status.h"
#include "proxy/process/process.h"

/* A worker whose loop has not turned for this long is stuck. */
#define STUCK_MS 5000

#define JSON       "application/json"
#define PROMETHEUS "text/plain; version=0.0.4; charset=utf-8"

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

/* NULL before there are any. */
static struct cluster_set *clusters_of(const struct process *process)
{
    return process->snapshot ? process->snapshot->clusters : NULL;
}

static void run_status(void *owner, const struct http_request *request, struct http_response *response)
{
    const struct process *process = owner;
    const struct lifecycle *lifecycle = &process->lifecycle;
    struct strbuf blockers;
    struct status_process about = {
        .state = lifecycle_state_name(lifecycle->state),
        .uptime_ms = clock_now_ms() - process->started_ms,
        .starting_s = lifecycle->entered_s[LIFECYCLE_STARTING],
        .ready_s = lifecycle->entered_s[LIFECYCLE_READY],
        .draining_s = lifecycle->entered_s[LIFECYCLE_DRAINING],
        .active = process_active_connections(process),
        .max_connections = process->shared.limits.max_connections,
        .workers = process->workers_ready,
        .configuration = &process->reload.status,
    };

    strbuf_init(&blockers, 1024);
    readiness_append_blockers(&lifecycle->readiness, "\"", &blockers);
    about.blockers = blockers.text;
    if (request->wants_text)
        status_append_text(&about, clusters_of(process), &response->body);
    else {
        response->content_type = JSON;
        status_append_json(&about, clusters_of(process), &response->body);
    }
    strbuf_done(&blockers);
}

static void run_metrics(void *owner, const struct http_request *request, struct http_response *response)
{
    const struct process *process = owner;

    (void)request;
    response->content_type = PROMETHEUS;
    prometheus_append(clusters_of(process), readiness_is_ready(&process->lifecycle.readiness), &process->reload.status,
                      &response->body);
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

/* NULL and a refusal when there is none. */
static struct cluster *find_cluster(struct process *process, const struct http_request *request,
                                    struct http_response *response)
{
    struct cluster_set *clusters = clusters_of(process);
    struct cluster *cluster = clusters ? cluster_set_find(clusters, request->name) : NULL;
    const char *names[64];
    size_t count = 0;
    int nearest;

    if (cluster)
        return cluster;
    for (size_t i = 0; clusters && i < clusters->count && count < ARRAY_SIZE(names); i++)
        names[count++] = clusters->clusters[i].config->name;
    nearest = suggest_nearest(request->name, names, count);
    response->status = 404;
    strbuf_printf(&response->body, "no cluster is named \"%.63s\"", request->name);
    if (nearest >= 0)
        strbuf_printf(&response->body, "; did you mean \"%s\"?", names[nearest]);
    strbuf_append(&response->body, "\n");
    return NULL;
}

static void tell_faults(struct cluster *cluster, struct http_response *response)
{
    size_t begin = response->body.length;

    strbuf_printf(&response->body, "cluster %s: faults: ", cluster->config->name);
    faults_append_text(&cluster->state->faults, &response->body);
    if (!strbuf_failed(&response->body))
        log_warning("%s", response->body.text + begin);
    strbuf_append(&response->body, "\n");
}

static void run_set_faults(void *owner, const struct http_request *request, struct http_response *response)
{
    struct cluster *cluster = find_cluster(owner, request, response);
    struct faults_config faults;
    char *errors;
    int r;

    if (!cluster)
        return;
    r = config_parse_faults(request->body, request->body_length, &faults, &errors);
    if (r < 0) {
        response->status = r == -EINVAL ? 400 : 500;
        strbuf_append(&response->body, r == -EINVAL ? errors : "out of memory\n");
        if (r == -EINVAL)
            free(errors);
        return;
    }
    faults_set(&cluster->state->faults, &faults);
    tell_faults(cluster, response);
}

static void run_clear_faults(void *owner, const struct http_request *request, struct http_response *response)
{
    struct cluster *cluster = find_cluster(owner, request, response);

    if (!cluster)
        return;
    faults_set(&cluster->state->faults, &cluster->config->faults);
    tell_faults(cluster, response);
}

static const struct control_command commands[] = {
    { "GET", "/healthz/ready", CONTROL_READ, true, run_ready },
    { "GET", "/healthz/live", CONTROL_READ, true, run_live },
    { "GET", "/metrics", CONTROL_READ, true, run_metrics },
    { "GET", "/status", CONTROL_READ, false, run_status },
    { "POST", "/reload", CONTROL_CHANGE, false, run_reload },
    { "POST", "/drain", CONTROL_CHANGE, false, run_drain },
    { "POST", "/quit", CONTROL_QUIT, false, run_quit },
    { "POST", "/faults/", CONTROL_CHANGE, false, run_set_faults },
    { "DELETE", "/faults/", CONTROL_CHANGE, false, run_clear_faults },
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

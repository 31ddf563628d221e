#include "proxy/process/command_views.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/macros.h"
#include "base/units.h"
#include "proxy/observe/connection_filter.h"
#include "proxy/observe/metrics.h"
#include "proxy/observe/stats.h"
#include "proxy/observe/status.h"
#include "proxy/policy/authorization.h"
#include "proxy/process/configuration.h"
#include "proxy/process/process.h"
#include "proxy/worker/listing.h"

#define MOST_WORKERS 64 /* as `workers` allows */

#define JSON       "application/json"
#define PROMETHEUS "text/plain; version=0.0.4; charset=utf-8"

/* NULL before there are any. */
static struct cluster_set *clusters_of(const struct process *process)
{
    return process->snapshot ? process->snapshot->clusters : NULL;
}

void command_status(void *owner, const struct http_request *request, struct http_response *response)
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

void command_identity(void *owner, const struct http_request *request, struct http_response *response)
{
    struct identity_status status;

    identity_describe(owner, &status);
    if (request->wants_text) {
        identity_append_text(&status, &response->body);
        return;
    }
    response->content_type = JSON;
    identity_append_json(&status, &response->body);
}

void command_clusters(void *owner, const struct http_request *request, struct http_response *response)
{
    if (request->wants_text) {
        clusters_append_text(clusters_of(owner), &response->body);
        return;
    }
    response->content_type = JSON;
    clusters_append_json(clusters_of(owner), &response->body);
}

static bool is_listed(const struct process *process)
{
    return atomic_load_explicit(&process->listing.awaited, memory_order_acquire) == 0;
}

/* The workers' parts one behind the other, as far as they match. *ret_total: of all that there are. */
static size_t gather(const struct process *process, const struct connection_filter *filter,
                     struct connection_view *views, size_t *ret_total)
{
    const struct listing *listing = &process->listing;
    size_t count = 0;

    *ret_total = 0;
    for (unsigned i = 0; i < process->workers_ready; i++) {
        for (size_t j = 0; j < listing->count[i]; j++) {
            const struct connection_view *view = &listing->views[i * LISTING_MOST + j];

            if (connection_filter_matches(filter, view))
                views[count++] = *view;
        }
        *ret_total += listing->total[i];
    }
    return count;
}

/* Asks the workers. False: one does not answer, which the response says. */
static bool make_listing(struct process *process, struct http_response *response)
{
    if (is_listed(process)) { /* else workers still write the last one */
        atomic_store_explicit(&process->listing.awaited, process->workers_ready, memory_order_relaxed);
        for (unsigned i = 0; i < process->workers_ready; i++)
            worker_list(&process->shared.workers[i]);
    }
    if (!process_await(process, is_listed)) {
        response->status = 503;
        strbuf_append(&response->body, "a worker is stuck\n");
        return false;
    }
    return true;
}

void command_connections(void *owner, const struct http_request *request, struct http_response *response)
{
    struct process *process = owner;
    struct connection_filter filter;
    struct connection_view *views;
    size_t count, total;
    char problem[192];

    if (!connection_filter_parse(request->query, &filter, problem, sizeof problem)) {
        response->status = 400;
        strbuf_printf(&response->body, "%s\n", problem);
        return;
    }
    if (!make_listing(process, response))
        return;
    views = calloc((size_t)process->workers_ready * LISTING_MOST + 1, sizeof *views);
    if (!views) {
        response->status = 500;
        strbuf_append(&response->body, "out of memory\n");
        return;
    }
    count = gather(process, &filter, views, &total);
    if (request->wants_text)
        connections_append_text(views, count, total, &response->body);
    else {
        response->content_type = JSON;
        connections_append_json(views, count, total, &response->body);
    }
    free(views);
}

static int compare_endings(const void *one, const void *other)
{
    const struct ending_view *a = one, *b = other;

    return (a->time_s < b->time_s) - (a->time_s > b->time_s);
}

void command_endings(void *owner, const struct http_request *request, struct http_response *response)
{
    struct process *process = owner;
    struct ending_view *views;
    size_t count = 0;

    if (!make_listing(process, response))
        return;
    views = calloc((size_t)process->workers_ready * ENDINGS_MOST + 1, sizeof *views);
    if (!views) {
        response->status = 500;
        strbuf_append(&response->body, "out of memory\n");
        return;
    }
    for (unsigned i = 0; i < process->workers_ready; i++) {
        const struct endings *endings = &process->listing.endings[i];

        for (unsigned long j = 0; j < MIN(endings->count, (unsigned long)ENDINGS_MOST); j++)
            views[count++] = endings->views[j];
    }
    qsort(views, count, sizeof *views, compare_endings);
    if (request->wants_text)
        endings_append_list_text(views, count, &response->body);
    else {
        response->content_type = JSON;
        endings_append_list_json(views, count, &response->body);
    }
    free(views);
}

void command_config(void *owner, const struct http_request *request, struct http_response *response)
{
    const struct process *process = owner;

    if (request->wants_text) {
        config_dump(process->snapshot->config, &response->body);
        return;
    }
    response->content_type = JSON;
    if (config_dump_json(process->snapshot->config, &response->body) < 0) {
        response->status = 500;
        strbuf_append(&response->body, "out of memory\n");
    }
}

static unsigned count_descriptors(void)
{
    DIR *directory = opendir("/proc/self/fd");
    unsigned count = 0;

    if (!directory)
        return 0;
    while (readdir(directory))
        count++;
    closedir(directory);
    return count > 3 ? count - 3 : 0; /* `.`, `..` and the directory's own */
}

static uint64_t resident_bytes(void)
{
    unsigned long size, resident = 0;
    FILE *file = fopen("/proc/self/statm", "re");

    if (file && fscanf(file, "%lu %lu", &size, &resident) != 2)
        resident = 0;
    if (file)
        fclose(file);
    return (uint64_t)resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

static double cpu_seconds(void)
{
    struct timespec used = { 0 };

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
    return (double)used.tv_sec + (double)used.tv_nsec / 1e9;
}

/* `workers` has room for MOST_WORKERS, and is what ret_stats->workers points to. */
static void describe_process(const struct process *process, struct stats_worker *workers, struct stats *ret_stats)
{
    uint64_t now_ms = clock_now_ms();
    struct rlimit limit = { 0 };

    *ret_stats = (struct stats){
        .uptime_ms = now_ms - process->started_ms,
        .started_s = clock_wall_seconds() - (double)(now_ms - process->started_ms) / 1000,
        .cpu_seconds = cpu_seconds(),
        .active = process_active_connections(process),
        .max_connections = process->shared.limits.max_connections,
        .rate_pauses = atomic_load_explicit(&process->shared.limits.rate_pauses, memory_order_relaxed),
        .famine_pauses = atomic_load_explicit(&process->shared.limits.famine_pauses, memory_order_relaxed),
        .buffer_bytes = process->shared.buffer_memory.total_bytes,
        .buffer_free_bytes = atomic_load_explicit(&process->shared.buffer_memory.free_bytes, memory_order_relaxed),
        .resident_bytes = resident_bytes(),
        .descriptors = count_descriptors(),
        .old_configurations = configuration_count_old(process),
        .dropped_log_lines = log_count_dropped(),
        .workers = workers,
        .worker_count = process->workers_ready,
    };
    getrlimit(RLIMIT_NOFILE, &limit);
    ret_stats->max_descriptors = (unsigned)MIN(limit.rlim_cur, (rlim_t)UINT32_MAX);
    for (unsigned i = 0; i < ret_stats->worker_count; i++) {
        const struct worker *worker = &process->shared.workers[i];
        uint64_t alive_ms = atomic_load_explicit(&worker->alive_ms, memory_order_relaxed);

        workers[i] = (struct stats_worker){ .active = atomic_load_explicit(&worker->active, memory_order_relaxed),
                                            .last_turn_ms = now_ms - MIN(alive_ms, now_ms) };
        counters_add((uint64_t *)&workers[i].lag, (const uint64_t *)&worker->lag, sizeof worker->lag);
    }
    for (enum direction direction = 0; direction < DIRECTION_COUNT; direction++) {
        struct counters sum = cluster_registry_count(&process->clusters, direction);

        stats_add(ret_stats, &sum);
    }
}

void command_stats(void *owner, const struct http_request *request, struct http_response *response)
{
    struct stats_worker workers[MOST_WORKERS];
    struct stats stats;

    describe_process(owner, workers, &stats);
    if (request->wants_text)
        stats_append_text(&stats, &response->body);
    else {
        response->content_type = JSON;
        stats_append_json(&stats, &response->body);
    }
}

void command_metrics(void *owner, const struct http_request *request, struct http_response *response)
{
    const struct process *process = owner;
    struct stats_worker workers[MOST_WORKERS];
    struct access_log_counts access_log;
    struct identity_status identity;
    struct stats stats;
    struct metrics_source source = { .clusters = clusters_of(process),
                                     .ready = readiness_is_ready(&process->lifecycle.readiness),
                                     .now_ms = clock_now_ms(),
                                     .configuration = &process->reload.status,
                                     .identity = &identity,
                                     .stats = &stats,
                                     .access_log = &access_log };

    (void)request;
    identity_describe(process, &identity);
    describe_process(process, workers, &stats);
    access_log_count(process->shared.access_log, &access_log);
    response->content_type = PROMETHEUS;
    metrics_append(&source, &response->body);
}

/* Copies the value of one word of the query, `name=value`; returns whether it is there. */
static bool query_get(const char *query, const char *name, char *value, size_t size)
{
    size_t length = strlen(name);

    for (const char *word = query; *word; word += strcspn(word, "&"), word += *word == '&') {
        if (strncmp(word, name, length) != 0 || word[length] != '=')
            continue;
        return (size_t)snprintf(value, size, "%.*s", (int)strcspn(word + length + 1, "&"), word + length + 1) < size;
    }
    return false;
}

/* Fills in the subject from the query. Returns NULL, or what is wrong. */
static const char *read_subject(const char *query, struct authorization_subject *subject, union inet_address *source,
                                struct spiffe_id *identity, char *text)
{
    char word[SPIFFE_ID_MOST_BYTES + 1];
    const char *problem;
    uint64_t port;

    if (!query_get(query, "port", word, sizeof word) || units_parse_number(word, &port) < 0 || port < 1 || port > 65535)
        return "port=NUMBER, the app's, must be given";
    subject->port = (uint16_t)port;
    if (query_get(query, "source", word, sizeof word)) {
        if (sockaddr_parse_host(word, 0, source) < 0)
            return "source=ADDRESS: that is no address";
        subject->source = &source->any;
    }
    if (query_get(query, "identity", text, SPIFFE_ID_MOST_BYTES + 1)) {
        if (spiffe_id_parse(text, strlen(text), identity, &problem) < 0)
            return problem;
        subject->identity = identity;
    }
    return NULL;
}

void command_explain_authorization(void *owner, const struct http_request *request, struct http_response *response)
{
    const struct config *config = ((const struct process *)owner)->snapshot->config;
    union inet_address source = { 0 };
    struct authorization_subject subject = { .source = &source.any };
    char text[SPIFFE_ID_MOST_BYTES + 1];
    struct spiffe_id identity;
    const char *problem = read_subject(request->query, &subject, &source, &identity, text), *verdict;
    size_t rule;

    if (problem) {
        response->status = 400;
        strbuf_printf(&response->body, "%s\n", problem);
        return;
    }
    verdict = authorization_allows(config, &subject, &rule) ? "allow" : "deny";
    if (!request->wants_text) {
        response->content_type = JSON;
        if (rule == AUTHORIZATION_NO_RULE)
            strbuf_printf(&response->body, "{\"verdict\": \"%s\", \"rule\": null}\n", verdict);
        else
            strbuf_printf(&response->body, "{\"verdict\": \"%s\", \"rule\": %zu}\n", verdict, rule);
    } else if (rule != AUTHORIZATION_NO_RULE)
        strbuf_printf(&response->body, "%s: authorization[%zu] matches first\n", verdict, rule);
    else
        strbuf_printf(&response->body, "%s: %s\n", verdict,
                      config->authorization.count > 0 ? "no rule matches" : "there are no rules");
}

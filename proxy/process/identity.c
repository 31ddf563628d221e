#include "proxy/process/identity.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/macros.h"
#include "base/strbuf.h"
#include "proxy/process/file_watch.h"
#include "proxy/process/process.h"
#include "proxy/tls/credential_files.h"
#include "proxy/tls/credentials.h"

#define TOGETHER_MS     20 /* files that are replaced together are noticed one after the other */
#define TICK_S          60
#define WARN_EVERY_S    3600
#define WARN_AT_PERCENT 20 /* of its life left */
#define MOST_PROBLEM    2048

static bool is_same_text(const char *one, const char *other)
{
    return one == other || (one && other && strcmp(one, other) == 0);
}

static bool is_same(const struct identity_config *one, const struct identity_config *other)
{
    const char *mine[IDENTITY_MOST_FILES], *theirs[IDENTITY_MOST_FILES];
    size_t count = credential_files_list(one, mine, ARRAY_SIZE(mine));

    if (one->present != other->present || !is_same_text(one->trust_domain, other->trust_domain) ||
        !is_same_text(one->spiffe_id, other->spiffe_id) || !is_same_text(one->crl, other->crl) ||
        count != credential_files_list(other, theirs, ARRAY_SIZE(theirs)))
        return false;
    for (size_t i = 0; i < count; i++) {
        if (strcmp(mine[i], theirs[i]) != 0)
            return false;
    }
    for (size_t i = 0; i < one->federation.count; i++) {
        if (strcmp(one->federation.items[i].trust_domain, other->federation.items[i].trust_domain) != 0)
            return false;
    }
    return true;
}

static void note(struct identity *identity, int r, const char *problem)
{
    free(identity->problem);
    identity->problem = NULL;
    if (r == 0) {
        identity->loaded++;
        identity->loaded_s = clock_wall_seconds();
    } else {
        identity->refused++;
        identity->problem = strdup(problem);
    }
}

static void tell(const struct credentials *credentials)
{
    int64_t now_s = (int64_t)clock_wall_seconds();

    log_info("identity: %.*s, valid for %" PRId64 " minutes", (int)credentials->identity.length,
             credentials->identity.text, (credentials->valid_until_s - now_s) / 60);
    if (credentials->valid_until_s <= now_s)
        log_error("identity: the certificate has expired: peers will refuse it");
    else if (credentials->valid_from_s > now_s)
        log_error("identity: the certificate is not valid yet: peers will refuse it");
}

static int load(struct process *process, const struct identity_config *config, struct credentials **ret_credentials)
{
    struct strbuf problem;
    int r;

    strbuf_init(&problem, MOST_PROBLEM);
    r = credential_files_load(config, ret_credentials, &problem);
    note(&process->identity, r, problem.text);
    if (r == 0)
        tell(*ret_credentials);
    else
        log_error("identity: %s; %s", problem.text,
                  process->shared.credentials.current ? "the credentials there are stay in force"
                                                      : "there is no mutual TLS until it is mended");
    strbuf_done(&problem);
    return r;
}

/* What changes from here on is noticed, although nobody watches yet. */
static void see(struct identity *identity, const struct identity_config *config)
{
    const char *paths[IDENTITY_MOST_FILES];
    size_t count = credential_files_list(config, paths, ARRAY_SIZE(paths));

    for (size_t i = 0; i < count; i++)
        file_identify(paths[i], &identity->seen[i]);
}

int identity_prepare(struct process *process, const struct config *config, struct credentials **ret_credentials)
{
    const struct identity_config *before = process->identity.config;
    int r;

    *ret_credentials = NULL;
    if (!config->identity.present || (before && is_same(before, &config->identity)))
        return 0;
    see(&process->identity, &config->identity);
    r = load(process, &config->identity, ret_credentials);
    return before ? r : 0;
}

static void bring_to_workers(struct process *process, struct credentials *credentials)
{
    credential_slot_set(&process->shared.credentials, credentials);
    for (unsigned i = 0; i < process->workers_ready; i++)
        worker_take_credentials(&process->shared.workers[i]);
    process->identity.warned_s = 0;
}

static void on_changed(evutil_socket_t fd, short what, void *argument)
{
    struct process *process = argument;
    struct credentials *credentials;

    (void)fd;
    (void)what;
    if (load(process, process->identity.config, &credentials) < 0)
        return;
    bring_to_workers(process, credentials);
    lifecycle_unblock(&process->lifecycle, READINESS_CERTIFICATES);
}

static void on_file_change(void *owner)
{
    struct process *process = owner;
    const struct timeval soon = { .tv_usec = TOGETHER_MS * 1000 };

    evtimer_add(&process->identity.changed, &soon);
}

/* A look a minute, a line an hour. */
static void warn(struct identity *identity, const struct credentials *credentials)
{
    double now_s = clock_wall_seconds();
    int64_t now = (int64_t)now_s, life_s = credentials->valid_until_s - credentials->valid_from_s;
    int64_t left_s = credentials->valid_until_s - now;

    if (now_s - identity->warned_s < WARN_EVERY_S)
        return;
    if (left_s <= 0)
        log_error("identity: the certificate expired %" PRId64 " minutes ago: peers refuse it", -left_s / 60);
    else if (left_s < life_s / 100 * WARN_AT_PERCENT)
        log_warning("identity: the certificate expires in %" PRId64 " days, %" PRId64 " hours and %" PRId64
                    " minutes, and was not renewed yet",
                    left_s / 86400, left_s / 3600 % 24, left_s / 60 % 60);
    else if (credentials->crls_until_s <= now)
        log_error("identity: a revocation list is out of date: peers whose issuer it is from are refused");
    else
        return;
    identity->warned_s = now_s;
}

static void on_tick(evutil_socket_t fd, short what, void *argument)
{
    struct process *process = argument;

    (void)fd;
    (void)what;
    if (process->shared.credentials.current)
        warn(&process->identity, process->shared.credentials.current);
}

static void stop_watching(struct identity *identity)
{
    while (identity->watch_count > 0)
        file_watch_free(identity->watches[--identity->watch_count]);
}

static void watch(struct process *process, const struct identity_config *config)
{
    struct identity *identity = &process->identity;
    const char *paths[IDENTITY_MOST_FILES];
    size_t count = credential_files_list(config, paths, ARRAY_SIZE(paths));

    for (size_t i = 0; i < count; i++) {
        identity->watches[identity->watch_count] = file_watch_new(process->base, paths[i], &identity->seen[i],
                                                                  on_file_change, process);
        identity->watch_count += identity->watches[identity->watch_count] != NULL;
    }
}

void identity_put_in_force(struct process *process, const struct config *config, struct credentials *credentials)
{
    struct identity *identity = &process->identity;
    const struct timeval every = { .tv_sec = TICK_S };
    bool is_other = !identity->config || !is_same(identity->config, &config->identity);

    identity->config = &config->identity;
    if (is_other) {
        stop_watching(identity);
        event_del(&identity->changed);
        if (config->identity.present) {
            watch(process, &config->identity);
            event_add(&identity->tick, &every);
            if (!credentials) /* it could not be loaded, and may have been mended since */
                on_file_change(process);
        }
        if (credentials || !config->identity.present)
            bring_to_workers(process, credentials);
    }
    if (!config->identity.present || process->shared.credentials.current)
        lifecycle_unblock(&process->lifecycle, READINESS_CERTIFICATES);
}

void identity_look(struct process *process)
{
    for (size_t i = 0; i < process->identity.watch_count; i++)
        file_watch_look(process->identity.watches[i]);
}

void identity_init(struct process *process)
{
    credential_slot_init(&process->shared.credentials);
    process->health_tls.credentials = &process->shared.credentials;
    evtimer_assign(&process->identity.changed, process->base, on_changed, process);
    event_assign(&process->identity.tick, process->base, -1, EV_PERSIST, on_tick, process);
}

void identity_done(struct process *process)
{
    struct identity *identity = &process->identity;

    stop_watching(identity);
    if (process->base && event_initialized(&identity->tick)) {
        event_del(&identity->changed);
        event_del(&identity->tick);
        credential_slot_done(&process->shared.credentials);
    }
    carrier_means_done(&process->health_tls.carriers);
    free(identity->problem);
}

static void add_handshakes(const struct process *process, struct handshake_counters *sum)
{
    for (unsigned worker = 0; worker < process->workers_ready; worker++) {
        const struct handshake_counters *counters = &process->shared.workers[worker].handshakes;

        counters_add((uint64_t *)sum, (const uint64_t *)counters, sizeof *sum);
    }
}

void identity_describe(const struct process *process, struct identity_status *ret_status)
{
    const struct identity *identity = &process->identity;
    const struct credentials *credentials = process->shared.credentials.current;

    *ret_status = (struct identity_status){
        .is_configured = identity->config && identity->config->present,
        .loaded = identity->loaded,
        .refused = identity->refused,
        .loaded_s = identity->loaded_s,
        .problem = identity->problem,
    };
    if (credentials) {
        ret_status->spiffe_id = credentials->identity.text;
        ret_status->valid_from_s = credentials->valid_from_s;
        ret_status->valid_until_s = credentials->valid_until_s;
        ret_status->crls_until_s = credentials->crls_until_s;
        ret_status->trust_domains = credentials->parts.bundle_count;
        for (size_t i = 0; i < credentials->parts.bundle_count; i++)
            ret_status->roots += credentials->parts.bundles[i].roots;
    }
    add_handshakes(process, &ret_status->handshakes);
}

#include "proxy/process/configuration.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/macros.h"
#include "proxy/observe/access_log.h"
#include "proxy/process/listeners.h"
#include "proxy/process/process.h"
#include "proxy/process/startup.h"
#include "proxy/process/upstreams.h"
#include "proxy/tls/credentials.h"
#include "proxy/upstream/cluster_endpoints.h"

/*
 * Old configurations that connections stay with, since their clusters are gone. With one more the oldest is over. It
 * bounds the memory of a proxy that is reloaded every minute and has sessions that last for days.
 */
#define MOST_OLD 32

/* They are easily forgotten. */
static void tell_faults(const struct cluster_set *clusters)
{
    for (size_t i = 0; i < clusters->count; i++) {
        struct strbuf text;

        if (!faults_are_on(&clusters->clusters[i].state->faults))
            continue;
        strbuf_init(&text, 512);
        faults_append_text(&clusters->clusters[i].state->faults, &text);
        log_warning("cluster %s: faults: %s", clusters->clusters[i].config->name, text.text);
        strbuf_done(&text);
    }
}

/* Until they are published again, the clusters of the snapshot before are in no configuration. */
static void retire_clusters(const struct snapshot *before)
{
    for (size_t i = 0; before && i < before->clusters->count; i++)
        before->clusters->clusters[i].state->newest = NULL;
}

/* Returns whether connections may have to end. */
static bool retire_endpoints(const struct snapshot *before, uint64_t now_ms)
{
    bool changed = false;

    for (size_t i = 0; before && i < before->clusters->count; i++) {
        struct cluster *cluster = &before->clusters->clusters[i];

        if (cluster->state->newest || !cluster->config->close_on_removal)
            continue;
        cluster_publish_none(cluster->state, now_ms);
        changed = true;
    }
    return changed;
}

unsigned configuration_count_old(const struct process *process)
{
    unsigned count = 0;

    for (const struct list_node *node = process->snapshots.next; node != &process->snapshots; node = node->next)
        count += node != &process->snapshot->in_process;
    return count;
}

/* Returns whether there were too many. */
static bool end_oldest(struct process *process)
{
    struct snapshot *oldest = CONTAINER_OF(process->snapshots.next, struct snapshot, in_process);

    if (configuration_count_old(process) <= MOST_OLD)
        return false;
    log_warning("the connections of clusters that were removed %d reloads ago are reset", MOST_OLD);
    atomic_store_explicit(&oldest->is_over, true, memory_order_relaxed);
    return true;
}

static void configure_log(const struct config *config, const struct config *before)
{
    if (before && before->log.level == config->log.level && before->log.format == config->log.format)
        return; /* a level that was set while it runs stays */
    log_configure((enum log_level)config->log.level, (enum log_format)config->log.format);
}

static void configure_access_log(struct process *process, const struct config *config)
{
    if (access_log_configure(process->shared.access_log, &config->access_log) < 0)
        log_error("access log: no memory; its sinks stay as they were");
}

/* Nothing in here can fail, but for memory that some cluster would need for other endpoints: it keeps the old ones. */
static int put_in_force(struct process *process, struct snapshot *snapshot, struct upstreams *upstreams,
                        struct credentials *credentials)
{
    struct snapshot *before = process->snapshot;
    struct upstreams *previous = process->upstreams;
    uint64_t now_ms = clock_now_ms();
    bool changed, changed_names;
    int r;

    configuration_forget_old(process);
    snapshot->serial = before ? before->serial + 1 : 1;
    list_append(&process->snapshots, &snapshot->in_process);
    retire_clusters(before);
    r = cluster_set_publish(snapshot->clusters, now_ms, &changed);
    process->snapshot = snapshot;
    process->lifecycle.drain = &snapshot->config->drain;
    configure_log(snapshot->config, before ? before->config : NULL);
    configure_access_log(process, snapshot->config);
    startup_set_limits(process, snapshot->config);
    identity_put_in_force(process, snapshot->config, credentials);
    atomic_store_explicit(&process->shared.snapshot, snapshot, memory_order_release);
    process->upstreams = upstreams; /* before names are answered */
    changed_names = upstreams_begin(upstreams, previous);
    upstreams_free(previous);
    changed |= changed_names;
    changed |= retire_endpoints(before, now_ms);
    changed |= end_oldest(process);
    upstreams_look(process);
    tell_faults(snapshot->clusters);
    for (unsigned i = 0; i < process->workers_ready; i++)
        worker_adopt(&process->shared.workers[i]);
    if (before && changed)
        process_close_lost(process);
    if (before)
        reload_look_at_old(process);
    return before ? 0 : r;
}

int configuration_apply(struct process *process, struct config *config)
{
    struct credentials *credentials = NULL;
    struct upstreams *upstreams;
    struct snapshot *snapshot;
    int r = snapshot_new(config, &process->clusters, clock_now_ms(), &snapshot);

    if (r < 0)
        return r;
    r = listeners_open(process, snapshot, process->snapshot);
    if (r == 0)
        r = identity_prepare(process, config, &credentials);
    if (r == 0)
        r = upstreams_new(process, snapshot, &upstreams);
    if (r < 0) {
        credentials_unref(credentials);
        snapshot_free(snapshot);
        return r;
    }
    return put_in_force(process, snapshot, upstreams, credentials);
}

bool configuration_is_settled(const struct process *process)
{
    for (unsigned i = 0; i < process->workers_ready; i++) {
        if (atomic_load_explicit(&process->shared.workers[i].adopted, memory_order_acquire) !=
            process->snapshot->serial)
            return false;
    }
    return true;
}

bool configuration_forget_old(struct process *process)
{
    struct list_node *next;
    bool is_left = false;

    for (struct list_node *node = process->snapshots.next; node != &process->snapshots; node = next) {
        struct snapshot *snapshot = CONTAINER_OF(node, struct snapshot, in_process);

        next = node->next;
        if (snapshot == process->snapshot)
            continue;
        if (atomic_load_explicit(&snapshot->users, memory_order_acquire) == 0)
            snapshot_free(snapshot);
        else
            is_left = true;
    }
    return is_left;
}

void configuration_free_all(struct process *process)
{
    upstreams_free(process->upstreams);
    while (!list_is_empty(&process->snapshots))
        snapshot_free(CONTAINER_OF(process->snapshots.next, struct snapshot, in_process));
}

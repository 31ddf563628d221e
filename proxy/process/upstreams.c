#include "proxy/process/upstreams.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "proxy/process/process.h"
#include "proxy/upstream/discovery.h"
#include "proxy/upstream/health_check.h"
#include "proxy/upstream/match_hosts.h"

struct upstreams {
    struct process *process;
    struct snapshot *snapshot;
    struct discoverer *discovery;
    struct match_hosts *match_hosts;
    struct health_checker *health_checker;
};

/* Whether what the cluster needs to serve is known: its names, and whether its endpoints are there. */
static bool is_known(const struct upstreams *upstreams, const struct cluster *cluster)
{
    return discovery_knows(upstreams->discovery, cluster) && match_hosts_knows(upstreams->match_hosts, cluster) &&
           health_checker_knows(upstreams->health_checker, cluster);
}

/* The first required cluster of which something is not known yet, or NULL. */
static const struct cluster *find_unknown(const struct upstreams *upstreams)
{
    const struct cluster_set *clusters = upstreams->snapshot->clusters;

    for (size_t i = 0; i < clusters->count; i++) {
        if (clusters->clusters[i].config->required && !is_known(upstreams, &clusters->clusters[i]))
            return &clusters->clusters[i];
    }
    return NULL;
}

void upstreams_look(struct process *process)
{
    if (process->looks_at_endpoints && !find_unknown(process->upstreams)) {
        process->looks_at_endpoints = false;
        lifecycle_unblock(&process->lifecycle, READINESS_ENDPOINTS);
    }
}

void upstreams_await(struct process *process)
{
    const struct cluster *unknown = find_unknown(process->upstreams);

    if (unknown)
        log_info("cluster %s is required: not ready before its endpoints are known", unknown->config->name);
    process->looks_at_endpoints = true;
    upstreams_look(process);
}

static void on_health_outcome(void *owner, struct cluster *cluster, bool is_down)
{
    struct upstreams *upstreams = owner;

    if (is_down && cluster->config->close_on_unhealthy)
        process_close_lost(upstreams->process);
    upstreams_look(upstreams->process);
}

static void on_discovery_answer(void *owner, struct cluster *cluster, bool changed)
{
    struct upstreams *upstreams = owner;

    if (changed && health_checker_update(upstreams->health_checker, cluster) < 0)
        log_error("cluster %s: no memory for the health checks of its new endpoints", cluster->config->name);
    if (changed && cluster->config->close_on_removal)
        process_close_lost(upstreams->process);
    upstreams_look(upstreams->process);
}

static void on_host_known(void *owner)
{
    struct upstreams *upstreams = owner;

    upstreams_look(upstreams->process);
}

static bool has_names(const struct cluster_set *clusters)
{
    for (size_t i = 0; i < clusters->count; i++) {
        const struct cluster_config *cluster = clusters->clusters[i].config;

        for (size_t j = 0; j < cluster->endpoints.count; j++) {
            if (cluster->endpoints.items[j].at.host)
                return true;
        }
        for (size_t j = 0; j < cluster->match.count; j++) {
            if (cluster->match.items[j].hosts.count > 0)
                return true;
        }
    }
    return false;
}

static int make_resolver(struct process *process, const struct snapshot *snapshot)
{
    int r;

    if (process->resolver || !has_names(snapshot->clusters))
        return 0;
    r = dns_resolver_new(process->base, &snapshot->config->dns, &process->resolver);
    if (r == -EINVAL)
        log_error("dns: the resolver cannot be set up");
    return r;
}

int upstreams_new(struct process *process, struct snapshot *snapshot, struct upstreams **ret_upstreams)
{
    struct upstreams *upstreams = calloc(1, sizeof *upstreams);
    struct cluster_set *clusters = snapshot->clusters;
    int r = upstreams ? make_resolver(process, snapshot) : -ENOMEM;

    if (r == 0) {
        upstreams->process = process;
        upstreams->snapshot = snapshot;
        r = health_checker_new(process->base, clusters, &process->health_tls, on_health_outcome, upstreams,
                               &upstreams->health_checker);
    }
    if (r == 0)
        r = discovery_new(process->base, process->resolver, clusters, on_discovery_answer, upstreams,
                          &upstreams->discovery);
    if (r == 0)
        r = match_hosts_new(process->base, process->resolver, clusters, on_host_known, upstreams,
                            &upstreams->match_hosts);
    if (r < 0) {
        upstreams_free(upstreams);
        return r;
    }
    *ret_upstreams = upstreams;
    return 0;
}

bool upstreams_begin(struct upstreams *upstreams, struct upstreams *previous)
{
    bool changed;

    changed = discovery_begin(upstreams->discovery, previous ? previous->discovery : NULL);
    match_hosts_begin(upstreams->match_hosts, previous ? previous->match_hosts : NULL);
    if (health_checker_begin(upstreams->health_checker, previous ? previous->health_checker : NULL) < 0)
        log_error("no memory for all health checks");
    return changed;
}

void upstreams_free(struct upstreams *upstreams)
{
    if (!upstreams)
        return;
    discovery_free(upstreams->discovery);
    match_hosts_free(upstreams->match_hosts);
    health_checker_free(upstreams->health_checker);
    free(upstreams);
}

#include "proxy/observe/json.h"
#include "proxy/observe/status.h"
#include "proxy/upstream/cluster_endpoints.h"

/* Seconds since the epoch, or null. */
static json_t *json_time(double seconds)
{
    return seconds > 0 ? json_real(seconds) : json_null();
}

static json_t *describe_endpoint(const struct endpoint *endpoint)
{
    char address[SOCKADDR_TEXT_SIZE];

    return json_pack("{s:s, s:s, s:i, s:o, s:o, s:o, s:s}", "address", sockaddr_format(&endpoint->address.any, address),
                     "health", endpoint_health_name(endpoint), "active",
                     (int)atomic_load_explicit(&endpoint->active, memory_order_relaxed), "connects",
                     json_count(atomic_load_explicit(&endpoint->connects, memory_order_relaxed)), "connect_failures",
                     json_count(atomic_load_explicit(&endpoint->connect_failures, memory_order_relaxed)), "ejections",
                     json_count(atomic_load_explicit(&endpoint->outlier.ejected, memory_order_relaxed)), "tls",
                     endpoint_tls_name(endpoint));
}

static json_t *describe_direction(const struct counters *sum, enum direction direction)
{
    json_t *ended = json_object(), *failures = json_object();
    uint64_t all_ended = counters_ended(sum);

    for (enum end_reason reason = 0; reason < END_REASON_COUNT; reason++) {
        if (sum->ended[reason] > 0)
            json_object_set_new(ended, end_reason_name(reason), json_count(sum->ended[reason]));
    }
    for (enum connect_cause cause = 0; cause < CONNECT_CAUSE_COUNT; cause++) {
        if (sum->connect_failures[cause] > 0)
            json_object_set_new(failures, connect_cause_name(cause), json_count(sum->connect_failures[cause]));
    }
    return json_pack("{s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "direction", direction_name(direction), "opened",
                     json_count(sum->opened), "active",
                     json_count(sum->opened > all_ended ? sum->opened - all_ended : 0), "bytes_from_client",
                     json_count(sum->bytes_to_upstream), "bytes_from_upstream", json_count(sum->bytes_to_client),
                     "retries", json_count(sum->retries), "connect_failures", failures, "ended", ended);
}

static const char *const discovery_names[] = {
    [DISCOVERY_STATIC] = "static", [DISCOVERY_DNS] = "dns", [DISCOVERY_ORIGINAL_DESTINATION] = "original_destination"
};

static json_t *describe_cluster(struct cluster *cluster)
{
    json_t *endpoints = json_array(), *traffic = json_array();
    struct endpoint_set *set = cluster_get_endpoints(cluster->state);
    struct strbuf faults;
    json_t *described;

    for (size_t i = 0; set && i < set->count; i++)
        json_array_append_new(endpoints, describe_endpoint(set->slots[i].endpoint));
    endpoint_set_unref(set);
    strbuf_init(&faults, 512);
    faults_append_text(&cluster->state->faults, &faults);
    for (enum direction direction = 0; direction < DIRECTION_COUNT; direction++) {
        struct counters sum = cluster_state_count(cluster->state, direction);

        if (sum.opened > 0)
            json_array_append_new(traffic, describe_direction(&sum, direction));
    }
    described = json_pack(
        "{s:s, s:s, s:i, s:o, s:i, s:o, s:o, s:s, s:o, s:o}", "name", cluster->config->name, "discovery",
        discovery_names[cluster->config->discovery], "active",
        (int)atomic_load_explicit(&cluster->state->active, memory_order_relaxed), "max_connections",
        json_count(cluster->config->circuit_breaker.max_connections), "pending",
        (int)atomic_load_explicit(&cluster->state->pending.count, memory_order_relaxed), "pending_overflows",
        json_count(atomic_load_explicit(&cluster->state->pending_overflows, memory_order_relaxed)), "retry_overflows",
        json_count(atomic_load_explicit(&cluster->state->retry_overflows, memory_order_relaxed)), "faults", faults.text,
        "endpoints", endpoints, "traffic", traffic);
    strbuf_done(&faults);
    return described;
}

static json_t *describe_configuration(const struct status_configuration *configuration)
{
    return json_pack("{s:s, s:o, s:o, s:o, s:o, s:o}", "path", configuration->path, "reloads",
                     json_count(configuration->succeeded), "refused", json_count(configuration->refused), "loaded",
                     json_time(configuration->succeeded_s), "last_refused", json_time(configuration->refused_s),
                     "problem", configuration->problem ? json_string(configuration->problem) : json_null());
}

static json_t *describe_clusters(const struct cluster_set *set)
{
    json_t *clusters = json_array();

    for (size_t i = 0; set && i < set->count; i++)
        json_array_append_new(clusters, describe_cluster(&set->clusters[i]));
    return clusters;
}

void clusters_append_json(const struct cluster_set *set, struct strbuf *text)
{
    json_append(json_pack("{s:o}", "clusters", describe_clusters(set)), text);
}

void status_append_json(const struct status_process *process, const struct cluster_set *set, struct strbuf *text)
{
    struct strbuf list;
    json_t *status;

    strbuf_init(&list, 2048);
    strbuf_printf(&list, "[%s]", process->blockers);
    status = json_pack("{s:s, s:s, s:o, s:f, s:{s:o, s:o, s:o}, s:i, s:{s:i, s:i}, s:o, s:o}", "version",
                       OUTRIGGER_VERSION, "state", process->state, "blockers", json_loads(list.text, 0, NULL),
                       "uptime_seconds", (double)process->uptime_ms / 1000, "since", "starting",
                       json_time(process->starting_s), "ready", json_time(process->ready_s), "draining",
                       json_time(process->draining_s), "workers", (int)process->workers, "connections", "active",
                       (int)process->active, "max", (int)process->max_connections, "configuration",
                       describe_configuration(process->configuration), "clusters", describe_clusters(set));
    strbuf_done(&list);
    json_append(status, text);
}

#include "proxy/config/validate.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/macros.h"
#include "base/suggest.h"
#include "proxy/config/match_rules.h"
#include "proxy/config/validate_access_log.h"
#include "proxy/config/validate_match.h"
#include "proxy/config/validate_place.h"
#include "proxy/config/validate_probes.h"
#include "proxy/config/validate_tls.h"

/* The node that `path` names (`clusters[2].retry`), or the last one on the way that exists. */
const struct node *validate_find_place(const struct node *root, const char *path)
{
    const struct node *place = root;

    while (*path) {
        const struct node *next;
        char key[MOST_PATH];
        size_t length;

        if (*path == '[') {
            next = node_item(place, strtoul(path + 1, NULL, 10));
            path = strchr(path, ']') + 1;
        } else {
            path += *path == '.';
            length = strcspn(path, ".[");
            memcpy(key, path, length);
            key[length] = '\0';
            next = node_get(place, key);
            path += length;
        }
        if (!next)
            break;
        place = next;
    }
    return place;
}

void validate_complain(const struct validate *validate, const char *path, const char *format, ...)
{
    const struct node *place = validate->root ? validate_find_place(validate->root, path) : NULL;
    char problem[512];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(problem, sizeof problem, format, arguments);
    va_end(arguments);
    report_add(validate->report, place ? place->line : 0, place ? place->column : 0, path, "%s", problem);
}

static void check_backoff(const struct validate *validate, const struct cluster_config *cluster, const char *path)
{
    char inner[MOST_PATH];

    if (cluster->retry.backoff.base_ms <= cluster->retry.backoff.max_ms)
        return;
    snprintf(inner, sizeof inner, "%.64s.retry.backoff.base", path);
    validate_complain(validate, inner, "longer than backoff.max; allowed: at most that");
}

static void check_hedging(const struct validate *validate, const struct cluster_config *cluster, const char *path)
{
    char inner[MOST_PATH];

    if (cluster->retry.hedge_after_ms == 0 || cluster->discovery == DISCOVERY_ORIGINAL_DESTINATION ||
        cluster->retry.hedge_after_ms < cluster->timeouts.connect_ms)
        return;
    snprintf(inner, sizeof inner, "%.64s.retry.hedge_after", path);
    validate_complain(validate, inner,
                      "not shorter than timeouts.connect, so it would never happen; allowed: less than that, or 0");
}

const char *validate_faults(const struct faults_config *faults, const char **ret_key)
{
    if ((faults->delay.percent > 0) != (faults->delay.time_ms > 0)) {
        *ret_key = "delay";
        return "percent and time belong together; one of them is 0";
    }
    *ret_key = "reset";
    return faults->reset.after_bytes > 0 && faults->reset.percent == 0 ? "after has no effect while percent is 0%"
                                                                       : NULL;
}

static void check_faults(const struct validate *validate, const struct cluster_config *cluster, const char *path)
{
    const char *key, *problem = validate_faults(&cluster->faults, &key);
    char inner[MOST_PATH];

    if (!problem)
        return;
    snprintf(inner, sizeof inner, "%.64s.faults.%s", path, key);
    validate_complain(validate, inner, "%s", problem);
}

static void check_ejection(const struct validate *validate, const struct cluster_config *cluster, const char *path)
{
    char inner[MOST_PATH];

    if (cluster->outlier_detection.base_ejection_ms <= cluster->outlier_detection.max_ejection_ms)
        return;
    snprintf(inner, sizeof inner, "%.64s.outlier_detection.base_ejection", path);
    validate_complain(validate, inner, "longer than max_ejection; allowed: at most that");
}

static bool is_plain_text(const char *text)
{
    for (; *text; text++) {
        if ((unsigned char)*text <= ' ' || *text == 0x7f)
            return false;
    }
    return true;
}

static void check_health_check(const struct validate *validate, const struct cluster_config *cluster, const char *path)
{
    const struct health_check_config *check = &cluster->health_check;
    char inner[MOST_PATH];

    if (!check->present)
        return;
    snprintf(inner, sizeof inner, "%.64s.health_check.type", path);
    if (check->type == HEALTH_CHECK_SEND_EXPECT && !check->send && !check->expect)
        validate_complain(validate, inner, "send_expect needs send, expect or both");
    snprintf(inner, sizeof inner, "%.64s.health_check.path", path);
    if (check->path[0] != '/' || !is_plain_text(check->path))
        validate_complain(validate, inner, "not a path; allowed: a slash, then characters without blanks");
    snprintf(inner, sizeof inner, "%.64s.health_check.host", path);
    if (!is_plain_text(check->host))
        validate_complain(validate, inner, "not a host; allowed: characters without blanks");
}

/* What `defaults` may set. */
static void check_policies(const struct validate *validate, const struct cluster_config *cluster, const char *path)
{
    check_backoff(validate, cluster, path);
    check_hedging(validate, cluster, path);
    check_faults(validate, cluster, path);
    check_ejection(validate, cluster, path);
    check_health_check(validate, cluster, path);
}

static void check_zones(const struct validate *validate, const struct cluster_config *cluster, const char *path)
{
    char inner[MOST_PATH];

    snprintf(inner, sizeof inner, "%.64s.load_balancing.zone_aware", path);
    if (cluster->load_balancing.zone_aware && cluster->discovery != DISCOVERY_ORIGINAL_DESTINATION &&
        !validate->config->zone)
        validate_complain(validate, inner, "the proxy's own zone is not known; set zone (of the document)");
}

static void check_cluster(const struct validate *validate, const struct cluster_config *cluster, const char *path)
{
    char inner[MOST_PATH];

    snprintf(inner, sizeof inner, "%.64s.endpoints", path);
    if (cluster->discovery != DISCOVERY_ORIGINAL_DESTINATION && cluster->endpoints.count == 0)
        validate_complain(validate, inner, "a %s cluster needs at least one endpoint",
                          cluster->discovery == DISCOVERY_DNS ? "dns" : "static");
    for (size_t i = 0; cluster->discovery == DISCOVERY_STATIC && i < cluster->endpoints.count; i++) {
        snprintf(inner, sizeof inner, "%.64s.endpoints[%zu].address", path, i);
        if (cluster->endpoints.items[i].at.host)
            validate_complain(validate, inner, "\"%.64s\" is a name, which needs discovery: dns",
                              cluster->endpoints.items[i].at.host);
    }
    snprintf(inner, sizeof inner, "%.64s.endpoints", path);
    if (cluster->discovery == DISCOVERY_ORIGINAL_DESTINATION && cluster->endpoints.count > 0)
        validate_complain(validate, inner, "endpoints are not allowed with discovery: original_destination");
    check_policies(validate, cluster, path);
    check_zones(validate, cluster, path);
}

static int compare_names(const void *left, const void *right)
{
    return strcmp(((const struct cluster_config *const *)left)[0]->name,
                  ((const struct cluster_config *const *)right)[0]->name);
}

/* Reports clusters with the name of another. */
static int check_cluster_names(const struct validate *validate)
{
    const struct config *config = validate->config;
    size_t count = 0;
    const struct cluster_config **sorted = calloc(config->clusters.count + 1, sizeof *sorted);

    if (!sorted)
        return -ENOMEM;
    for (size_t i = 0; i < config->clusters.count; i++) {
        if (config->clusters.items[i].name)
            sorted[count++] = &config->clusters.items[i];
    }
    qsort(sorted, count, sizeof(const struct cluster_config *), compare_names);
    for (size_t i = 1; i < count; i++) {
        if (strcmp(sorted[i - 1]->name, sorted[i]->name) == 0) {
            const struct cluster_config *second = MAX(sorted[i - 1], sorted[i]);
            char path[MOST_PATH];

            snprintf(path, sizeof path, "clusters[%zu].name", (size_t)(second - config->clusters.items));
            validate_complain(validate, path, "another cluster is named \"%s\" already", second->name);
        }
    }
    free(sorted);
    return 0;
}

static void check_clusters(const struct validate *validate)
{
    const struct config *config = validate->config;

    for (size_t i = 0; i < config->clusters.count; i++) {
        const struct cluster_config *cluster = &config->clusters.items[i];
        char path[MOST_PATH];

        if (cluster->name && (strcmp(cluster->name, "inbound") == 0 || strcmp(cluster->name, "passthrough") == 0)) {
            snprintf(path, sizeof path, "clusters[%zu].name", i);
            validate_complain(validate, path, "\"%s\" is a built-in cluster's name; choose another", cluster->name);
        }
        snprintf(path, sizeof path, "clusters[%zu]", i);
        check_cluster(validate, cluster, path);
        snprintf(path, sizeof path, "clusters[%zu].match", i);
        if (cluster->match.count > 0 && !config->intercept.present)
            validate_complain(validate, path, "match has no meaning without intercept");
        validate_matches(validate, cluster, path);
    }
}

static const struct cluster_config *find_cluster(const struct config *config, const char *name)
{
    for (size_t i = 0; i < config->clusters.count; i++) {
        if (config->clusters.items[i].name && strcmp(config->clusters.items[i].name, name) == 0)
            return &config->clusters.items[i];
    }
    return NULL;
}

static void check_listener_cluster(const struct validate *validate, const struct listener_config *listener,
                                   const char *path)
{
    const struct config *config = validate->config;
    const struct cluster_config *cluster = find_cluster(config, listener->cluster);

    if (!cluster) {
        const char *names[64];
        size_t count = 0;
        int nearest;

        for (size_t i = 0; i < config->clusters.count && count < ARRAY_SIZE(names); i++) {
            if (config->clusters.items[i].name)
                names[count++] = config->clusters.items[i].name;
        }
        nearest = suggest_nearest(listener->cluster, names, count);
        if (nearest >= 0)
            validate_complain(validate, path, "no cluster is named \"%s\"; did you mean \"%s\"?", listener->cluster,
                              names[nearest]);
        else
            validate_complain(validate, path, "no cluster is named \"%s\"", listener->cluster);
    } else if (cluster->discovery == DISCOVERY_ORIGINAL_DESTINATION)
        validate_complain(validate, path, "a plain listener has no original destination; its cluster needs endpoints");
}

/* Two listeners bind the same: equal addresses, or one of them is every address of the family. */
static bool addresses_collide(const union sockaddr_any *a, const union sockaddr_any *b)
{
    char a_host[SOCKADDR_TEXT_SIZE], b_host[SOCKADDR_TEXT_SIZE];
    const char *any = a->family == AF_INET ? "0.0.0.0" : "::";

    if (a->family != b->family || sockaddr_port(&a->any) != sockaddr_port(&b->any))
        return false;
    sockaddr_format_host(&a->any, a_host);
    sockaddr_format_host(&b->any, b_host);
    return strcmp(a_host, b_host) == 0 || strcmp(a_host, any) == 0 || strcmp(b_host, any) == 0;
}

const char *validate_own_port(const struct config *config, uint16_t port)
{
    if (port == config->health.port)
        return "health.port";
    if (config->intercept.present && port == config->intercept.outbound.port)
        return "intercept.outbound.port";
    if (config->intercept.present && port == config->intercept.inbound.port)
        return "intercept.inbound.port";
    return NULL;
}

static void check_listeners(const struct validate *validate)
{
    const struct config *config = validate->config;
    const struct listener_config *listeners = config->listeners.items;

    for (size_t i = 0; i < config->listeners.count; i++) {
        const char *own = validate_own_port(config, sockaddr_port(&listeners[i].address.any));
        char path[MOST_PATH];

        snprintf(path, sizeof path, "listeners[%zu].address", i);
        if (own && listeners[i].address.family != AF_UNSPEC)
            validate_complain(validate, path, "the port is taken by %s", own);
        for (size_t j = 0; j < i; j++) {
            if (listeners[i].address.family != AF_UNSPEC &&
                addresses_collide(&listeners[i].address, &listeners[j].address))
                validate_complain(validate, path, "the same address as listeners[%zu]", j);
            if (listeners[i].name && listeners[j].name && strcmp(listeners[i].name, listeners[j].name) == 0) {
                char name_path[MOST_PATH];

                snprintf(name_path, sizeof name_path, "listeners[%zu].name", i);
                validate_complain(validate, name_path, "another listener is named \"%s\" already", listeners[i].name);
            }
        }
        snprintf(path, sizeof path, "listeners[%zu].cluster", i);
        if (listeners[i].cluster)
            check_listener_cluster(validate, &listeners[i], path);
    }
}

static void check_inbound_ports(const struct validate *validate)
{
    const struct inbound_port_config *entries = validate->config->intercept.inbound.ports.items;
    bool *taken = calloc(65536, sizeof *taken);
    char path[MOST_PATH];

    if (!taken)
        return;
    for (size_t i = 0; i < validate->config->intercept.inbound.ports.count; i++) {
        unsigned clash = 0;

        snprintf(path, sizeof path, "intercept.inbound.ports[%zu].cluster", i);
        check_cluster(validate, &entries[i].cluster, path);
        for (size_t j = 0; j < entries[i].ports.count; j++) {
            for (unsigned port = entries[i].ports.items[j].first; port <= entries[i].ports.items[j].last; port++) {
                if (taken[port])
                    clash = port;
                taken[port] = true;
            }
        }
        snprintf(path, sizeof path, "intercept.inbound.ports[%zu].ports", i);
        if (clash)
            validate_complain(validate, path, "port %u has an entry already", clash);
    }
    free(taken);
}

static void check_intercept(const struct validate *validate)
{
    const struct config *config = validate->config;

    if (!config->intercept.present)
        return;
    if (config->intercept.outbound.port == config->intercept.inbound.port)
        validate_complain(validate, "intercept.inbound.port", "the same port as intercept.outbound.port");
    if (config->intercept.outbound.port == config->health.port)
        validate_complain(validate, "intercept.outbound.port", "the port is taken by health.port");
    if (config->intercept.inbound.port == config->health.port)
        validate_complain(validate, "intercept.inbound.port", "the port is taken by health.port");
    check_inbound_ports(validate);
}

static void check_process(const struct validate *validate)
{
    const struct config *config = validate->config;

    if (config->limits.buffer_per_connection_bytes > config->limits.buffer_memory_bytes)
        validate_complain(validate, "limits.buffer_per_connection",
                          "larger than limits.buffer_memory; allowed: at most that");
    if (config->drain.minimum_ms > config->drain.timeout_ms)
        validate_complain(validate, "drain.minimum", "longer than drain.timeout; allowed: at most that");
    if (config->drain.delay_ms > config->drain.timeout_ms)
        validate_complain(validate, "drain.delay", "longer than drain.timeout; allowed: at most that");
    if (!config->intercept.present && config->listeners.count == 0)
        validate_complain(validate, "", "nothing to do: neither intercept nor listeners is given");
}

int config_validate(const struct node *root, struct config *config, struct report *report)
{
    struct validate validate = { root, config, report };
    int r = match_rules_build(config);

    if (r == -E2BIG) {
        validate_complain(&validate, "clusters",
                          "more than %d matches (addresses times ports times server names, over all clusters)",
                          MATCH_RULES_MOST);
        r = 0;
    }
    if (r == 0)
        r = check_cluster_names(&validate);
    if (r < 0)
        return r;
    check_process(&validate);
    check_policies(&validate, &config->passthrough, "defaults");
    check_intercept(&validate);
    check_listeners(&validate);
    check_clusters(&validate);
    validate_access_log(&validate);
    validate_tls(&validate);
    validate_probes(&validate, &config->probes);
    return validate_match_ties(&validate);
}

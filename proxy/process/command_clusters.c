#include "proxy/process/command_clusters.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/macros.h"
#include "base/suggest.h"
#include "proxy/process/process.h"
#include "proxy/upstream/cluster_endpoints.h"

/* NULL and a refusal when there is none. */
static struct cluster *find_cluster(struct process *process, const char *name, struct http_response *response)
{
    struct cluster_set *clusters = process->snapshot ? process->snapshot->clusters : NULL;
    struct cluster *cluster = clusters ? cluster_set_find(clusters, name) : NULL;
    const char *names[64];
    size_t count = 0;
    int nearest;

    if (cluster)
        return cluster;
    for (size_t i = 0; clusters && i < clusters->count && count < ARRAY_SIZE(names); i++)
        names[count++] = clusters->clusters[i].config->name;
    nearest = suggest_nearest(name, names, count);
    response->status = 404;
    strbuf_printf(&response->body, "no cluster is named \"%.63s\"", name);
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

void command_set_faults(void *owner, const struct http_request *request, struct http_response *response)
{
    struct cluster *cluster = find_cluster(owner, request->name, response);
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

void command_clear_faults(void *owner, const struct http_request *request, struct http_response *response)
{
    struct cluster *cluster = find_cluster(owner, request->name, response);

    if (!cluster)
        return;
    faults_set(&cluster->state->faults, &cluster->config->faults);
    tell_faults(cluster, response);
}

/* NULL and a refusal when there is none. The set is borrowed by the caller. */
static struct endpoint *find_endpoint(const struct cluster *cluster, const struct endpoint_set *set,
                                      const char *address, struct http_response *response)
{
    for (size_t i = 0; set && i < set->count; i++) {
        char text[SOCKADDR_TEXT_SIZE];

        if (strcmp(sockaddr_format(&set->slots[i].endpoint->address.any, text), address) == 0)
            return set->slots[i].endpoint;
    }
    response->status = 404;
    strbuf_printf(&response->body, "cluster %s has no endpoint \"%.127s\"; it has:", cluster->config->name, address);
    for (size_t i = 0; set && i < MIN(set->count, (size_t)10); i++) {
        char text[SOCKADDR_TEXT_SIZE];

        strbuf_printf(&response->body, " %s", sockaddr_format(&set->slots[i].endpoint->address.any, text));
    }
    strbuf_append(&response->body, !set || set->count == 0 ? " none\n" : set->count > 10 ? " and more\n" : "\n");
    return NULL;
}

static void change_endpoint(struct cluster *cluster, const char *address, bool ejects, struct http_response *response)
{
    struct endpoint_set *set = cluster_get_endpoints(cluster->state);
    struct endpoint *endpoint = find_endpoint(cluster, set, address, response);

    if (endpoint && ejects)
        cluster_disable(cluster, endpoint);
    else if (endpoint)
        cluster_restore(cluster, endpoint);
    if (endpoint) {
        log_warning("cluster %s: endpoint %s is %s by command", cluster->config->name, address,
                    ejects ? "ejected" : "restored");
        strbuf_printf(&response->body, "cluster %s: endpoint %s: %s\n", cluster->config->name, address,
                      endpoint_health_name(endpoint));
    }
    endpoint_set_unref(set);
}

void command_endpoint(void *owner, const struct http_request *request, struct http_response *response)
{
    const char *verb = strrchr(request->name, '/');
    char name[256], address[SOCKADDR_TEXT_SIZE];
    struct cluster *cluster;

    if (!verb || (strcmp(verb, "/eject") != 0 && strcmp(verb, "/restore") != 0)) {
        response->status = 404;
        strbuf_append(&response->body,
                      "no such path; there are /endpoints/CLUSTER/eject and /endpoints/CLUSTER/restore, "
                      "with the endpoint's address as the body\n");
        return;
    }
    snprintf(name, sizeof name, "%.*s", (int)(verb - request->name), request->name);
    snprintf(address, sizeof address, "%.*s", (int)strcspn(request->body, "\r\n"), request->body);
    cluster = find_cluster(owner, name, response);
    if (cluster)
        change_endpoint(cluster, address, strcmp(verb, "/eject") == 0, response);
}

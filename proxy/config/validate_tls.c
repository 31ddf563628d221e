#include "proxy/config/validate_tls.h"

#include <stdio.h>
#include <string.h>

static const char no_identity[] = "needs the own identity; set identity (of the document; identity: {} takes the usual "
                                  "paths)";

/*
 * While a host's name is not resolved nothing matches it, and what is captured would pass as it is: mutual would be a
 * promise that is not kept.
 */
static bool leaks_plaintext(const struct config *config, const struct cluster_config *cluster)
{
    if (cluster->tls.mode != UPSTREAM_TLS_MUTUAL || cluster->tls.allow_plaintext || !config->intercept.present ||
        config->intercept.outbound.unmatched != UNMATCHED_PASSTHROUGH ||
        config->passthrough.tls.mode == UPSTREAM_TLS_MUTUAL)
        return false;
    for (size_t i = 0; i < cluster->match.count; i++) {
        if (cluster->match.items[i].hosts.count > 0)
            return true;
    }
    return false;
}

static void check_cluster(const struct validate *validate, const struct cluster_config *cluster, const char *path)
{
    char inner[MOST_PATH];

    snprintf(inner, sizeof inner, "%.64s.tls.mode", path);
    if (cluster->tls.mode != UPSTREAM_TLS_DISABLED && !validate->config->identity.present)
        validate_complain(validate, inner, "%s", no_identity);
    if (cluster->tls.mode == UPSTREAM_TLS_AUTO && cluster->discovery == DISCOVERY_ORIGINAL_DESTINATION)
        validate_complain(validate, inner,
                          "auto is not possible with discovery: original_destination; allowed: disabled, mutual");
    if (leaks_plaintext(validate->config, cluster))
        validate_complain(validate, inner,
                          "while a name of match.hosts is not resolved its connections would pass in plaintext; set "
                          "intercept.outbound.unmatched: refuse, or tls.allow_plaintext: true");
}

static void check_ports(const struct validate *validate)
{
    const struct config *config = validate->config;
    char path[MOST_PATH];

    for (size_t i = 0; i < config->intercept.inbound.ports.count; i++) {
        const struct inbound_port_config *entry = &config->intercept.inbound.ports.items[i];

        snprintf(path, sizeof path, "intercept.inbound.ports[%zu].tls.mode", i);
        if (entry->tls.mode == INBOUND_TLS_STRICT && !config->identity.present)
            validate_complain(validate, path, "%s", no_identity);
        snprintf(path, sizeof path, "intercept.inbound.ports[%zu].cluster.tls.mode", i);
        if (entry->cluster.tls.mode != UPSTREAM_TLS_DISABLED)
            validate_complain(validate, path, "the app is no sidecar; allowed: disabled. Its clients: ports[].tls");
    }
}

static void check_identity(const struct validate *validate)
{
    const struct identity_config *identity = &validate->config->identity;
    size_t length = identity->trust_domain ? strlen(identity->trust_domain) : 0;
    const char *id = identity->spiffe_id;
    char path[MOST_PATH];

    if (!identity->present || !identity->trust_domain)
        return;
    if (id && (strncmp(id + strlen("spiffe://"), identity->trust_domain, length) != 0 ||
               id[strlen("spiffe://") + length] != '/'))
        validate_complain(validate, "identity.spiffe_id", "it is not in identity.trust_domain, which is \"%.64s\"",
                          identity->trust_domain);
    for (size_t i = 0; i < identity->federation.count; i++) {
        const char *name = identity->federation.items[i].trust_domain;
        bool is_taken = name && strcmp(name, identity->trust_domain) == 0;

        for (size_t j = 0; name && j < i; j++)
            is_taken = is_taken || (identity->federation.items[j].trust_domain &&
                                    strcmp(name, identity->federation.items[j].trust_domain) == 0);
        snprintf(path, sizeof path, "identity.federation[%zu].trust_domain", i);
        if (is_taken)
            validate_complain(validate, path, "the trust domain \"%.64s\" has a bundle already", name);
    }
}

void validate_tls(const struct validate *validate)
{
    const struct config *config = validate->config;

    check_identity(validate);
    if (config->intercept.present && config->intercept.inbound.tls.mode == INBOUND_TLS_STRICT &&
        !config->identity.present)
        validate_complain(validate, "intercept.inbound.tls.mode", "%s", no_identity);
    check_ports(validate);
    check_cluster(validate, &config->passthrough, "defaults");
    for (size_t i = 0; i < config->clusters.count; i++) {
        char path[MOST_PATH];

        snprintf(path, sizeof path, "clusters[%zu]", i);
        check_cluster(validate, &config->clusters.items[i], path);
    }
}

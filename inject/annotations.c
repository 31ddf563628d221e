#include "inject/annotations.h"

#include <stdio.h>
#include <string.h>

#include "base/macros.h"
#include "base/suggest.h"
#include "base/units.h"
#include "inject/annotation_values.h"

static const struct {
    const char *name, *istio; /* behind the prefixes; NULL: Istio has none */
    enum annotation_value value;
    const char *doc;
} rows[ANNOTATION_COUNT] = {
    [ANNOTATION_INJECT] = { "inject", NULL, ANNOTATES_BOOL,
                            "`false`: the pod stays as it is; `true`: it gets a sidecar also where only annotated pods "
                            "do." },
    [ANNOTATION_SIDECAR] = { "sidecar", NULL, ANNOTATES_SIDECAR,
                             "`native`: an init container with `restartPolicy: Always` (Kubernetes 1.29). `ordinary`: "
                             "a container before the app's. Left out: as `--sidecar` says." },
    [ANNOTATION_IMAGE] = { "image", NULL, ANNOTATES_IMAGE,
                           "The image with the four programs. Left out: that of `--image`." },
    [ANNOTATION_CONFIG] = { "config", NULL, ANNOTATES_CONFIGURATION,
                            "The proxy's whole configuration, in place of the generated one. Changing it on a running "
                            "pod reloads the proxy, once the kubelet has written it." },
    [ANNOTATION_CONFIG_MAP] = { "config-map", NULL, ANNOTATES_CONFIG_MAP,
                                "The same from a ConfigMap of the pod's namespace." },
    [ANNOTATION_LOG_LEVEL] = { "log-level", NULL, ANNOTATES_LOG_LEVEL, "`log.level` of the generated configuration." },
    [ANNOTATION_HOLD_APPLICATION] = { "hold-application", NULL, ANNOTATES_BOOL,
                                      "`false`: an ordinary sidecar does not hold the app until the proxy is ready. A "
                                      "native one always does." },
    [ANNOTATION_REWRITE_PROBES] = { "rewrite-probes", NULL, ANNOTATES_BOOL,
                                    "`false`: the kubelet's probes of the app stay as they are. It then asks a "
                                    "captured port, which always accepts; exclude the port." },
    [ANNOTATION_IDENTITY_SECRET] = { "identity-secret", NULL, ANNOTATES_SECRET,
                                     "The pod's identity for mutual TLS (an X509-SVID), where the proxy looks for it; "
                                     "the "
                                     "generated configuration has `identity: {}`." },
    [ANNOTATION_IDENTITY_CSI_DRIVER] = { "identity-csi-driver", NULL, ANNOTATES_CSI_DRIVER,
                                         "The same from a driver that makes an identity for each pod." },
    [ANNOTATION_TLS_MODE] = { "tls-mode", NULL, ANNOTATES_TLS_MODE,
                              "`intercept.inbound.tls.mode` of the generated configuration: what clients of the app "
                              "may "
                              "speak. Left out: permissive." },
    [ANNOTATION_DRAIN_DELAY] = { "drain-delay", NULL, ANNOTATES_DURATION,
                                 "`drain.delay` of the generated configuration. Left out: 0s, with an ordinary sidecar "
                                 "5s." },
    [ANNOTATION_DRAIN_MINIMUM] = { "drain-minimum", NULL, ANNOTATES_DURATION,
                                   "`drain.minimum` of it. Left out: 0s, with an ordinary sidecar the pod's grace "
                                   "period less 5s." },
    [ANNOTATION_DRAIN_TIMEOUT] = { "drain-timeout", NULL, ANNOTATES_DURATION,
                                   "`drain.timeout` of it. Left out: 25s, with an ordinary sidecar the pod's grace "
                                   "period less 2s." },
    [ANNOTATION_CPU] = { "cpu", NULL, ANNOTATES_QUANTITY, "The request of both containers. Left out: 10m." },
    [ANNOTATION_CPU_LIMIT] = { "cpu-limit", NULL, ANNOTATES_QUANTITY,
                               "Left out: none, so that a burst is not throttled." },
    [ANNOTATION_MEMORY] = { "memory", NULL, ANNOTATES_QUANTITY, "The request. Left out: 32Mi." },
    [ANNOTATION_MEMORY_LIMIT] = { "memory-limit", NULL, ANNOTATES_QUANTITY,
                                  "Left out: 256Mi, or the request where that is more." },
    [ANNOTATION_MODE] = { "mode", NULL, ANNOTATES_MODE,
                          "How connections to the app are captured. `tproxy`: the app sees its clients' own addresses; "
                          "the proxy then runs as uid 0 with NET_ADMIN, outside the Pod Security profile "
                          "\"restricted\". A configuration of the pod's own has to say `intercept.inbound.mode`, "
                          "too." },
    [ANNOTATION_INCLUDE_OUTBOUND_CIDRS] = { "include-outbound-cidrs", "includeOutboundIPRanges", ANNOTATES_CIDRS_OR_ALL,
                                            "Destinations to capture. Left out: all." },
    [ANNOTATION_EXCLUDE_OUTBOUND_CIDRS] = { "exclude-outbound-cidrs", "excludeOutboundIPRanges", ANNOTATES_CIDRS,
                                            "Destinations to leave alone." },
    [ANNOTATION_INCLUDE_OUTBOUND_PORTS] = { "include-outbound-ports", "includeOutboundPorts", ANNOTATES_PORTS_OR_ALL,
                                            "Ports to capture at whatever destination, excluded or not." },
    [ANNOTATION_EXCLUDE_OUTBOUND_PORTS] = { "exclude-outbound-ports", "excludeOutboundPorts", ANNOTATES_PORTS,
                                            "Ports of destinations to leave alone." },
    [ANNOTATION_INCLUDE_INBOUND_PORTS] = { "include-inbound-ports", "includeInboundPorts", ANNOTATES_PORTS_OR_ALL,
                                           "The app's ports to capture. Left out: all." },
    [ANNOTATION_EXCLUDE_INBOUND_PORTS] = { "exclude-inbound-ports", "excludeInboundPorts", ANNOTATES_PORTS,
                                           "The app's ports to leave alone." },
    [ANNOTATION_EXCLUDE_INTERFACES] = { "exclude-interfaces", "excludeInterfaces", ANNOTATES_INTERFACES,
                                        "Interfaces whose connections are left alone." },
    [ANNOTATION_VIRTUAL_INTERFACES] = { "virtual-interfaces", "kubevirtInterfaces", ANNOTATES_INTERFACES,
                                        "Interfaces of virtual machines or containers inside the pod, whose "
                                        "connections are outbound ones." },
};

const char *annotation_name(enum annotation annotation)
{
    return rows[annotation].name;
}

void annotations_reference(struct strbuf *text)
{
    strbuf_append(text,
                  "# Annotations of pods\n\nMade by tools/generate-docs from inject/annotations.c. All begin with "
                  "`" ANNOTATION_PREFIX "`, and stand in the metadata of the pod, or of the template that it comes "
                  "from.\nThose of Istio mean the same and are understood as well; where both are there, ours "
                  "counts.\n\n| annotation | allowed | what it does | Istio's |\n| --- | --- | --- | --- |\n");
    for (enum annotation i = 0; i < ANNOTATION_COUNT; i++)
        strbuf_printf(text, "| `%s` | %s | %s | %s%s%s |\n", rows[i].name, annotation_value_allowed(rows[i].value),
                      rows[i].doc, rows[i].istio ? "`" ANNOTATION_ISTIO_PREFIX : "", rows[i].istio ? rows[i].istio : "",
                      rows[i].istio ? "`" : "");
}

/* ANNOTATION_COUNT: none of them. */
static enum annotation find(const char *key)
{
    enum annotation i = 0;

    for (; i < ANNOTATION_COUNT; i++) {
        if (strncmp(key, ANNOTATION_PREFIX, strlen(ANNOTATION_PREFIX)) == 0 &&
            strcmp(key + strlen(ANNOTATION_PREFIX), rows[i].name) == 0)
            break;
        if (rows[i].istio && strncmp(key, ANNOTATION_ISTIO_PREFIX, strlen(ANNOTATION_ISTIO_PREFIX)) == 0 &&
            strcmp(key + strlen(ANNOTATION_ISTIO_PREFIX), rows[i].istio) == 0)
            break;
    }
    return i;
}

static bool is_our_own(const char *key)
{
    return strcmp(key, ANNOTATION_STATUS) == 0 || strcmp(key, ANNOTATION_GENERATED) == 0 ||
           strcmp(key, ANNOTATION_PROBES) == 0 || strcmp(key, ANNOTATION_ORIGINALS) == 0;
}

static void complain_unknown(const char *key, char *problem, size_t size)
{
    const char *names[ANNOTATION_COUNT];
    int nearest;

    for (enum annotation i = 0; i < ANNOTATION_COUNT; i++)
        names[i] = rows[i].name;
    nearest = suggest_nearest(key + strlen(ANNOTATION_PREFIX), names, ANNOTATION_COUNT);
    snprintf(problem, size,
             nearest >= 0 ? "annotation \"%.80s\" is not known; did you mean \"%s%s\"?"
                          : "annotation \"%.80s\" is not known; docs/kubernetes.md has them all",
             key, ANNOTATION_PREFIX, nearest >= 0 ? names[nearest] : "");
}

static bool exclude_each_other(const struct annotations *annotations, enum annotation one, enum annotation other,
                               char *problem, size_t size)
{
    if (!annotations->values[one] || !annotations->values[other])
        return false;
    snprintf(problem, size, "annotations %s%s and %s%s exclude each other", ANNOTATION_PREFIX, rows[one].name,
             ANNOTATION_PREFIX, rows[other].name);
    return true;
}

/* What goes into the generated configuration has no effect beside one of the pod's own. */
static bool fits_own_config(const struct annotations *annotations, char *problem, size_t size)
{
    static const enum annotation generated[] = { ANNOTATION_LOG_LEVEL, ANNOTATION_TLS_MODE, ANNOTATION_DRAIN_DELAY,
                                                 ANNOTATION_DRAIN_MINIMUM, ANNOTATION_DRAIN_TIMEOUT };

    if (!annotations->values[ANNOTATION_CONFIG] && !annotations->values[ANNOTATION_CONFIG_MAP])
        return true;
    for (size_t i = 0; i < ARRAY_SIZE(generated); i++) {
        if (!annotations->values[generated[i]])
            continue;
        snprintf(problem, size, "annotation %s%s has no effect beside a configuration of the pod's own; set it there",
                 ANNOTATION_PREFIX, rows[generated[i]].name);
        return false;
    }
    return true;
}

/* Whether a list has the word. */
static bool has_word(const char *list, const char *word, size_t length)
{
    while (list) {
        list += strspn(list, " ");
        if (strcspn(list, ", ") == length && strncmp(list, word, length) == 0)
            return true;
        list = strchr(list, ',');
        list = list ? list + 1 : NULL;
    }
    return false;
}

/* outrigger-init would refuse what stands on both sides. */
static bool are_apart(const struct annotations *annotations, char *problem, size_t size)
{
    static const enum annotation pairs[][2] = {
        { ANNOTATION_INCLUDE_OUTBOUND_CIDRS, ANNOTATION_EXCLUDE_OUTBOUND_CIDRS },
        { ANNOTATION_INCLUDE_OUTBOUND_PORTS, ANNOTATION_EXCLUDE_OUTBOUND_PORTS },
        { ANNOTATION_INCLUDE_INBOUND_PORTS, ANNOTATION_EXCLUDE_INBOUND_PORTS },
        { ANNOTATION_EXCLUDE_INTERFACES, ANNOTATION_VIRTUAL_INTERFACES },
    };

    for (size_t i = 0; i < ARRAY_SIZE(pairs); i++) {
        const char *one = annotations->values[pairs[i][0]], *other = annotations->values[pairs[i][1]];

        while (one && other) {
            size_t length;

            one += strspn(one, " ");
            length = strcspn(one, ", ");
            if (length > 0 && has_word(other, one, length)) {
                snprintf(problem, size, "\"%.*s\" is in annotation %s%s and in %s%s; take it out of one of them",
                         (int)MIN(length, (size_t)64), one, ANNOTATION_PREFIX, rows[pairs[i][0]].name,
                         ANNOTATION_PREFIX, rows[pairs[i][1]].name);
                return false;
            }
            one = strchr(one, ',');
            one = one ? one + 1 : NULL;
        }
    }
    return true;
}

/* A request above its limit is no resource. */
static bool fit_limits(const struct annotations *annotations, char *problem, size_t size)
{
    static const enum annotation pairs[][2] = { { ANNOTATION_CPU, ANNOTATION_CPU_LIMIT },
                                                { ANNOTATION_MEMORY, ANNOTATION_MEMORY_LIMIT } };
    static const char *const usual[] = { ANNOTATION_USUAL_CPU, ANNOTATION_USUAL_MEMORY };

    for (size_t i = 0; i < ARRAY_SIZE(pairs); i++) {
        const char *given = annotations->values[pairs[i][0]], *limit = annotations->values[pairs[i][1]];
        const char *request = given ? given : usual[i];
        double least = 0, most = 0;

        if (!limit || !annotation_value_quantity(limit, &most) || !annotation_value_quantity(request, &least) ||
            least <= most)
            continue;
        snprintf(problem, size, "annotation %s%s: %s is less than the request, %s", ANNOTATION_PREFIX,
                 rows[pairs[i][1]].name, limit, request);
        return false;
    }
    return true;
}

bool annotation_exceeds(const char *quantity, const char *other)
{
    double one, two;

    return annotation_value_quantity(quantity, &one) && annotation_value_quantity(other, &two) && one > two;
}

static uint64_t duration_of(const struct annotations *annotations, enum annotation annotation)
{
    uint64_t ms = 0;

    if (annotations->values[annotation])
        units_parse_duration(annotations->values[annotation], &ms);
    return ms;
}

/* The proxy's configuration would be refused. */
static bool fits_drain(const struct annotations *annotations, char *problem, size_t size)
{
    static const enum annotation shorter[] = { ANNOTATION_DRAIN_DELAY, ANNOTATION_DRAIN_MINIMUM };

    for (size_t i = 0; annotations->values[ANNOTATION_DRAIN_TIMEOUT] && i < ARRAY_SIZE(shorter); i++) {
        if (duration_of(annotations, shorter[i]) <= duration_of(annotations, ANNOTATION_DRAIN_TIMEOUT))
            continue;
        snprintf(problem, size, "annotation %s%s: longer than %sdrain-timeout", ANNOTATION_PREFIX,
                 rows[shorter[i]].name, ANNOTATION_PREFIX);
        return false;
    }
    return true;
}

static bool has_identity(const struct annotations *annotations)
{
    return annotations->values[ANNOTATION_IDENTITY_SECRET] || annotations->values[ANNOTATION_IDENTITY_CSI_DRIVER];
}

/* Nobody can speak TLS to who has no identity. */
static bool has_what_tls_needs(const struct annotations *annotations, char *problem, size_t size)
{
    const char *mode = annotations->values[ANNOTATION_TLS_MODE];

    if (!mode || strcmp(mode, "disabled") == 0 || has_identity(annotations))
        return true;
    snprintf(problem, size, "annotation %stls-mode: \"%s\" needs %sidentity-secret or -csi-driver", ANNOTATION_PREFIX,
             mode, ANNOTATION_PREFIX);
    return false;
}

bool annotations_read(const struct value *metadata, struct annotations *ret_annotations, char *problem, size_t size)
{
    const struct value *map = value_get(metadata, "annotations");

    *ret_annotations = (struct annotations){ .values = { NULL } };
    for (size_t i = 0; map && map->kind == VALUE_MAP && i < map->count; i++) {
        const char *key = map->keys[i]->text, *text = map->items[i]->text;
        enum annotation annotation = find(key);

        if (annotation == ANNOTATION_COUNT) {
            if (strncmp(key, ANNOTATION_PREFIX, strlen(ANNOTATION_PREFIX)) != 0 || is_our_own(key))
                continue;
            complain_unknown(key, problem, size);
            return false;
        }
        if (map->items[i]->kind != VALUE_SCALAR || !annotation_value_fits(rows[annotation].value, text)) {
            snprintf(problem, size, "annotation %.80s: \"%.80s\" is not allowed; allowed: %s", key, text,
                     annotation_value_allowed(rows[annotation].value));
            return false;
        }
        if (!ret_annotations->values[annotation] || strncmp(key, ANNOTATION_PREFIX, strlen(ANNOTATION_PREFIX)) == 0)
            ret_annotations->values[annotation] = text; /* ours wins over Istio's */
    }
    if (exclude_each_other(ret_annotations, ANNOTATION_CONFIG, ANNOTATION_CONFIG_MAP, problem, size) ||
        exclude_each_other(ret_annotations, ANNOTATION_IDENTITY_SECRET, ANNOTATION_IDENTITY_CSI_DRIVER, problem, size))
        return false;
    return fits_own_config(ret_annotations, problem, size) && has_what_tls_needs(ret_annotations, problem, size) &&
           are_apart(ret_annotations, problem, size) && fit_limits(ret_annotations, problem, size) &&
           fits_drain(ret_annotations, problem, size);
}

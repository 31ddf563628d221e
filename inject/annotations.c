#include "inject/annotations.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cidr.h"
#include "base/macros.h"
#include "base/port_range.h"
#include "base/suggest.h"
#include "base/units.h"

#define DIGITS  "0123456789"
#define LETTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"

typedef bool check_value(const char *text);

static bool is_any(const char *text)
{
    return text[strspn(text, " \t\r\n")] != '\0';
}

/* An image, without blanks. */
static bool is_word(const char *text)
{
    return text[0] != '\0' && !strpbrk(text, " \t\r\n");
}

static bool is_bool(const char *text)
{
    return strcmp(text, "true") == 0 || strcmp(text, "false") == 0;
}

static bool is_sidecar(const char *text)
{
    return strcmp(text, "native") == 0 || strcmp(text, "ordinary") == 0;
}

static bool is_tls_mode(const char *text)
{
    return strcmp(text, "disabled") == 0 || strcmp(text, "permissive") == 0 || strcmp(text, "strict") == 0;
}

static bool is_mode(const char *text)
{
    return strcmp(text, "redirect") == 0 || strcmp(text, "tproxy") == 0;
}

static bool is_duration(const char *text)
{
    uint64_t ms;

    return units_parse_duration(text, &ms) == 0 && ms <= 3600000;
}

static bool is_level(const char *text)
{
    return strcmp(text, "error") == 0 || strcmp(text, "warning") == 0 || strcmp(text, "info") == 0 ||
           strcmp(text, "debug") == 0;
}

/*
 * Kubernetes' resource.Quantity, as much of it as CPU and memory need. In thousandths, so that they can be compared.
 * Returns whether it is one.
 */
static bool parse_quantity(const char *text, double *ret_milli)
{
    static const struct {
        const char *name;
        double milli;
    } suffixes[] = {
        { "", 1e3 },   { "m", 1 },       { "k", 1e6 },        { "M", 1e9 },
        { "G", 1e12 }, { "Ki", 1024e3 }, { "Mi", 1048576e3 }, { "Gi", 1073741824e3 },
    };
    size_t whole = strspn(text, DIGITS), length = whole;

    if (whole == 0 || whole > 15)
        return false;
    if (text[whole] == '.')
        length += 1 + strspn(text + whole + 1, DIGITS);
    if (length == whole + 1)
        return false;
    for (size_t i = 0; i < ARRAY_SIZE(suffixes); i++) {
        if (strcmp(text + length, suffixes[i].name) == 0) {
            *ret_milli = strtod(text, NULL) * suffixes[i].milli;
            return true;
        }
    }
    return false;
}

static bool is_quantity(const char *text)
{
    double milli;

    return parse_quantity(text, &milli);
}

#define MOST_LIST 1024

/* Calls `check` for each word between commas; a text without any is an empty list. */
static bool is_list(const char *text, bool (*check)(const char *word))
{
    char words[MOST_LIST], *rest = words, *word;

    if (strlen(text) >= sizeof words)
        return false;
    strcpy(words, text);
    while (text[0] != '\0' && (word = strsep(&rest, ","))) {
        word += strspn(word, " ");
        for (size_t length = strlen(word); length > 0 && word[length - 1] == ' '; length--)
            word[length - 1] = '\0';
        if (word[0] == '\0' || !check(word))
            return false;
    }
    return true;
}

/* IPv4 as IPv6 writes it is no block of what is on the wire. */
static bool is_cidr(const char *word)
{
    static const struct cidr mapped = { .family = AF_INET6, .prefix = 96, .bytes = { [10] = 0xff, [11] = 0xff } };
    const char *problem;
    struct cidr cidr;
    bool cleared;

    return cidr_parse_network(word, &cidr, &cleared, &problem) == 0 && !cidr_within(&cidr, &mapped);
}

static bool is_port(const char *word)
{
    struct port_range range;
    const char *problem;

    return port_range_parse(word, &range, &problem) == 0;
}

/* As outrigger-init has it: a last `*` or `+` stands for any rest. */
static bool is_interface(const char *word)
{
    size_t length = strspn(word, LETTERS DIGITS "._-@");

    if (length == 0 || strlen(word) > 15 || strcmp(word, ".") == 0 || strcmp(word, "..") == 0)
        return false;
    return word[length] == '\0' || ((word[length] == '*' || word[length] == '+') && word[length + 1] == '\0');
}

static bool are_cidrs(const char *text)
{
    return is_list(text, is_cidr);
}

static bool are_ports(const char *text)
{
    return is_list(text, is_port);
}

/* What is included may be everything. */
static bool are_cidrs_or_all(const char *text)
{
    return strcmp(text, "*") == 0 || are_cidrs(text);
}

static bool are_ports_or_all(const char *text)
{
    return strcmp(text, "*") == 0 || are_ports(text);
}

/* An object's name (RFC 1123). */
static bool is_name(const char *text)
{
    size_t length = strlen(text);

    return length > 0 && length <= 253 && strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789-.") == length;
}

static bool are_interfaces(const char *text)
{
    return is_list(text, is_interface);
}

static const char bools[] = "true, false";
static const char quantities[] = "a number with m, k, M, G, Ki, Mi or Gi, such as 100m or 64Mi";
static const char durations[] = "a duration up to 1h, such as 5s or 500ms";
static const char cidrs[] = "blocks with commas between them, such as 10.0.0.0/8,fd00::/8";
static const char cidrs_or_all[] = "blocks with commas between them, such as 10.0.0.0/8,fd00::/8, or *";
static const char ports[] = "ports and ranges with commas between them, such as 80,8000-8010";
static const char ports_or_all[] = "ports and ranges with commas between them, such as 80,8000-8010, or *";
static const char interfaces[] = "names of interfaces with commas between them";

static const struct {
    const char *name, *istio; /* behind the prefixes; NULL: Istio has none */
    check_value *check;
    const char *allowed, *doc;
} rows[ANNOTATION_COUNT] = {
    [ANNOTATION_INJECT] = { "inject", NULL, is_bool, bools,
                            "`false`: the pod stays as it is; `true`: it gets a sidecar also where only annotated pods "
                            "do." },
    [ANNOTATION_SIDECAR] = { "sidecar", NULL, is_sidecar, "native, ordinary",
                             "`native`: an init container with `restartPolicy: Always` (Kubernetes 1.29). `ordinary`: "
                             "a container before the app's. Left out: as `--sidecar` says." },
    [ANNOTATION_IMAGE] = { "image", NULL, is_word, "an image",
                           "The image with the four programs. Left out: that of `--image`." },
    [ANNOTATION_CONFIG] = { "config", NULL, is_any, "a configuration, as in docs/configuration.md",
                            "The proxy's whole configuration, in place of the generated one. Changing it on a running "
                            "pod reloads the proxy, once the kubelet has written it." },
    [ANNOTATION_CONFIG_MAP] = { "config-map", NULL, is_name, "the name of a ConfigMap with the key outrigger.yaml",
                                "The same from a ConfigMap of the pod's namespace." },
    [ANNOTATION_LOG_LEVEL] = { "log-level", NULL, is_level, "error, warning, info, debug",
                               "`log.level` of the generated configuration." },
    [ANNOTATION_HOLD_APPLICATION] = { "hold-application", NULL, is_bool, bools,
                                      "`false`: an ordinary sidecar does not hold the app until the proxy is ready. A "
                                      "native one always does." },
    [ANNOTATION_REWRITE_PROBES] = { "rewrite-probes", NULL, is_bool, bools,
                                    "`false`: the kubelet's probes of the app stay as they are. It then asks a "
                                    "captured port, which always accepts; exclude the port." },
    [ANNOTATION_IDENTITY_SECRET] = { "identity-secret", NULL, is_name,
                                     "the name of a Secret with tls.crt, tls.key and ca.crt",
                                     "The pod's identity for mutual TLS (an X509-SVID), where the proxy looks for it; "
                                     "the "
                                     "generated configuration has `identity: {}`." },
    [ANNOTATION_IDENTITY_CSI_DRIVER] = { "identity-csi-driver", NULL, is_name,
                                         "the name of a CSI driver, such as spiffe.csi.cert-manager.io",
                                         "The same from a driver that makes an identity for each pod." },
    [ANNOTATION_TLS_MODE] = { "tls-mode", NULL, is_tls_mode, "disabled, permissive, strict",
                              "`intercept.inbound.tls.mode` of the generated configuration: what clients of the app "
                              "may "
                              "speak. Left out: permissive." },
    [ANNOTATION_DRAIN_DELAY] = { "drain-delay", NULL, is_duration, durations,
                                 "`drain.delay` of the generated configuration. Left out: 0s, with an ordinary sidecar "
                                 "5s." },
    [ANNOTATION_DRAIN_MINIMUM] = { "drain-minimum", NULL, is_duration, durations,
                                   "`drain.minimum` of it. Left out: 0s, with an ordinary sidecar the pod's grace "
                                   "period less 5s." },
    [ANNOTATION_DRAIN_TIMEOUT] = { "drain-timeout", NULL, is_duration, durations,
                                   "`drain.timeout` of it. Left out: 25s, with an ordinary sidecar the pod's grace "
                                   "period less 2s." },
    [ANNOTATION_CPU] = { "cpu", NULL, is_quantity, quantities, "The request of both containers. Left out: 10m." },
    [ANNOTATION_CPU_LIMIT] = { "cpu-limit", NULL, is_quantity, quantities,
                               "Left out: none, so that a burst is not throttled." },
    [ANNOTATION_MEMORY] = { "memory", NULL, is_quantity, quantities, "The request. Left out: 32Mi." },
    [ANNOTATION_MEMORY_LIMIT] = { "memory-limit", NULL, is_quantity, quantities,
                                  "Left out: 256Mi, or the request where that is more." },
    [ANNOTATION_MODE] = { "mode", NULL, is_mode, "redirect, tproxy",
                          "How connections to the app are captured. `tproxy`: the app sees its clients' own addresses; "
                          "the proxy then runs as uid 0 with NET_ADMIN, outside the Pod Security profile "
                          "\"restricted\". A configuration of the pod's own has to say `intercept.inbound.mode`, "
                          "too." },
    [ANNOTATION_INCLUDE_OUTBOUND_CIDRS] = { "include-outbound-cidrs", "includeOutboundIPRanges", are_cidrs_or_all,
                                            cidrs_or_all, "Destinations to capture. Left out: all." },
    [ANNOTATION_EXCLUDE_OUTBOUND_CIDRS] = { "exclude-outbound-cidrs", "excludeOutboundIPRanges", are_cidrs, cidrs,
                                            "Destinations to leave alone." },
    [ANNOTATION_INCLUDE_OUTBOUND_PORTS] = { "include-outbound-ports", "includeOutboundPorts", are_ports_or_all,
                                            ports_or_all,
                                            "Ports to capture at whatever destination, excluded or not." },
    [ANNOTATION_EXCLUDE_OUTBOUND_PORTS] = { "exclude-outbound-ports", "excludeOutboundPorts", are_ports, ports,
                                            "Ports of destinations to leave alone." },
    [ANNOTATION_INCLUDE_INBOUND_PORTS] = { "include-inbound-ports", "includeInboundPorts", are_ports_or_all,
                                           ports_or_all, "The app's ports to capture. Left out: all." },
    [ANNOTATION_EXCLUDE_INBOUND_PORTS] = { "exclude-inbound-ports", "excludeInboundPorts", are_ports, ports,
                                           "The app's ports to leave alone." },
    [ANNOTATION_EXCLUDE_INTERFACES] = { "exclude-interfaces", "excludeInterfaces", are_interfaces, interfaces,
                                        "Interfaces whose connections are left alone." },
    [ANNOTATION_VIRTUAL_INTERFACES] = { "virtual-interfaces", "kubevirtInterfaces", are_interfaces, interfaces,
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
        strbuf_printf(text, "| `%s` | %s | %s | %s%s%s |\n", rows[i].name, rows[i].allowed, rows[i].doc,
                      rows[i].istio ? "`" ANNOTATION_ISTIO_PREFIX : "", rows[i].istio ? rows[i].istio : "",
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

        if (!limit || !parse_quantity(limit, &most) || !parse_quantity(request, &least) || least <= most)
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

    return parse_quantity(quantity, &one) && parse_quantity(other, &two) && one > two;
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
        if (map->items[i]->kind != VALUE_SCALAR || !rows[annotation].check(text)) {
            snprintf(problem, size, "annotation %.80s: \"%.80s\" is not allowed; allowed: %s", key, text,
                     rows[annotation].allowed);
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

#include "inject/annotations.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cidr.h"
#include "base/macros.h"
#include "base/port_range.h"
#include "base/suggest.h"

typedef bool check_value(const char *text);

static bool is_any(const char *text)
{
    return text[0] != '\0';
}

static bool is_bool(const char *text)
{
    return strcmp(text, "true") == 0 || strcmp(text, "false") == 0;
}

static bool is_sidecar(const char *text)
{
    return strcmp(text, "native") == 0 || strcmp(text, "ordinary") == 0;
}

static bool is_level(const char *text)
{
    return strcmp(text, "error") == 0 || strcmp(text, "warning") == 0 || strcmp(text, "info") == 0 ||
           strcmp(text, "debug") == 0;
}

/* Kubernetes' resource.Quantity, as much of it as CPU and memory need. */
static bool is_quantity(const char *text)
{
    size_t digits = strspn(text, "0123456789.");

    return digits > 0 &&
           (text[digits] == '\0' || strcmp(text + digits, "m") == 0 || strcmp(text + digits, "k") == 0 ||
            strcmp(text + digits, "M") == 0 || strcmp(text + digits, "G") == 0 || strcmp(text + digits, "Ki") == 0 ||
            strcmp(text + digits, "Mi") == 0 || strcmp(text + digits, "Gi") == 0);
}

/* Calls `check` for each word between commas. */
static bool is_list(const char *text, bool (*check)(const char *word))
{
    char words[1024], *rest = words, *word;

    if (strlen(text) >= sizeof words)
        return false;
    strcpy(words, text);
    while ((word = strsep(&rest, ","))) {
        word += strspn(word, " ");
        if (word[0] != '\0' && !check(word))
            return false;
    }
    return true;
}

static bool is_cidr(const char *word)
{
    const char *problem;
    struct cidr cidr;
    bool cleared;

    return strcmp(word, "*") == 0 || cidr_parse_network(word, &cidr, &cleared, &problem) == 0;
}

static bool is_port(const char *word)
{
    struct port_range range;
    const char *problem;

    return strcmp(word, "*") == 0 || port_range_parse(word, &range, &problem) == 0;
}

static bool is_interface(const char *word)
{
    return strlen(word) < 16 && !strpbrk(word, " /\"'");
}

static bool are_cidrs(const char *text)
{
    return is_list(text, is_cidr);
}

static bool are_ports(const char *text)
{
    return is_list(text, is_port);
}

static bool are_interfaces(const char *text)
{
    return is_list(text, is_interface);
}

static const char bools[] = "true, false";
static const char quantities[] = "a number with m, k, M, G, Ki, Mi or Gi, such as 100m or 64Mi";
static const char cidrs[] = "blocks with commas between them, such as 10.0.0.0/8,fd00::/8, or *";
static const char ports[] = "ports and ranges with commas between them, such as 80,8000-8010, or *";
static const char interfaces[] = "names of interfaces with commas between them";

static const struct {
    const char *name, *istio; /* behind the prefixes; NULL: Istio has none */
    check_value *check;
    const char *allowed;
} rows[ANNOTATION_COUNT] = {
    [ANNOTATION_INJECT] = { "inject", NULL, is_bool, bools },
    [ANNOTATION_SIDECAR] = { "sidecar", NULL, is_sidecar, "native, ordinary" },
    [ANNOTATION_IMAGE] = { "image", NULL, is_any, "an image" },
    [ANNOTATION_CONFIG] = { "config", NULL, is_any, "a configuration, as in docs/configuration.md" },
    [ANNOTATION_CONFIG_MAP] = { "config-map", NULL, is_any, "the name of a ConfigMap with the key outrigger.yaml" },
    [ANNOTATION_LOG_LEVEL] = { "log-level", NULL, is_level, "error, warning, info, debug" },
    [ANNOTATION_HOLD_APPLICATION] = { "hold-application", NULL, is_bool, bools },
    [ANNOTATION_CPU] = { "cpu", NULL, is_quantity, quantities },
    [ANNOTATION_CPU_LIMIT] = { "cpu-limit", NULL, is_quantity, quantities },
    [ANNOTATION_MEMORY] = { "memory", NULL, is_quantity, quantities },
    [ANNOTATION_MEMORY_LIMIT] = { "memory-limit", NULL, is_quantity, quantities },
    [ANNOTATION_INCLUDE_OUTBOUND_CIDRS] = { "include-outbound-cidrs", "includeOutboundIPRanges", are_cidrs, cidrs },
    [ANNOTATION_EXCLUDE_OUTBOUND_CIDRS] = { "exclude-outbound-cidrs", "excludeOutboundIPRanges", are_cidrs, cidrs },
    [ANNOTATION_INCLUDE_OUTBOUND_PORTS] = { "include-outbound-ports", "includeOutboundPorts", are_ports, ports },
    [ANNOTATION_EXCLUDE_OUTBOUND_PORTS] = { "exclude-outbound-ports", "excludeOutboundPorts", are_ports, ports },
    [ANNOTATION_INCLUDE_INBOUND_PORTS] = { "include-inbound-ports", "includeInboundPorts", are_ports, ports },
    [ANNOTATION_EXCLUDE_INBOUND_PORTS] = { "exclude-inbound-ports", "excludeInboundPorts", are_ports, ports },
    [ANNOTATION_EXCLUDE_INTERFACES] = { "exclude-interfaces", "excludeInterfaces", are_interfaces, interfaces },
    [ANNOTATION_VIRTUAL_INTERFACES] = { "virtual-interfaces", "kubevirtInterfaces", are_interfaces, interfaces },
};

const char *annotation_name(enum annotation annotation)
{
    return rows[annotation].name;
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
    return strcmp(key, ANNOTATION_STATUS) == 0 || strcmp(key, ANNOTATION_GENERATED) == 0;
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
    if (ret_annotations->values[ANNOTATION_CONFIG] && ret_annotations->values[ANNOTATION_CONFIG_MAP]) {
        snprintf(problem, size, "annotations %sconfig and %sconfig-map exclude each other", ANNOTATION_PREFIX,
                 ANNOTATION_PREFIX);
        return false;
    }
    return true;
}

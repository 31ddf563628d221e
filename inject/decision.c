#include "inject/decision.h"

#include <stdio.h>
#include <string.h>

#include "base/macros.h"

/* What the label says, which selectors can see; else the annotation. NULL: neither is there. */
static const char *asked(const struct decision_pod *pod)
{
    const char *label = value_get_text(value_get(pod->metadata, "labels"), ANNOTATION_PREFIX "inject");

    return label ? label : pod->annotations->values[ANNOTATION_INJECT];
}

static bool is_left_namespace(const struct decision_settings *settings, const struct decision_pod *pod)
{
    const char *rest = settings->left_namespaces;
    size_t length = strlen(pod->namespace);

    while (rest && length > 0) {
        size_t word = strcspn(rest, ",");

        if (word == length && strncmp(rest, pod->namespace, length) == 0)
            return true;
        rest = rest[word] == ',' ? rest + word + 1 : NULL;
    }
    return false;
}

static bool is_on_host_network(const struct decision_settings *settings, const struct decision_pod *pod)
{
    (void)settings;
    return value_is(pod->spec, "hostNetwork", "true");
}

static bool is_windows(const struct decision_settings *settings, const struct decision_pod *pod)
{
    (void)settings;
    return value_is(value_get(pod->spec, "os"), "name", "windows") ||
           value_is(value_get(pod->spec, "nodeSelector"), "kubernetes.io/os", "windows");
}

/* Two meshes would redirect into each other. */
static bool is_in_another_mesh(const struct decision_settings *settings, const struct decision_pod *pod)
{
    static const char *const lists[] = { "initContainers", "containers" }, *const names[] = { "istio-proxy",
                                                                                              "linkerd-proxy" };

    (void)settings;
    for (size_t i = 0; i < ARRAY_SIZE(lists); i++) {
        for (size_t j = 0; j < ARRAY_SIZE(names); j++) {
            if (value_find_named(value_get(pod->spec, lists[i]), names[j]))
                return true;
        }
    }
    return false;
}

static bool has_no_containers(const struct decision_settings *settings, const struct decision_pod *pod)
{
    const struct value *containers = value_get(pod->spec, "containers");

    (void)settings;
    if (value_get(pod->spec, "<<")) /* nobody can say */
        return false;
    return !containers || containers->kind != VALUE_LIST || containers->count == 0;
}

static bool says_no(const struct decision_settings *settings, const struct decision_pod *pod)
{
    (void)settings;
    return asked(pod) && strcmp(asked(pod), "false") == 0;
}

static bool says_yes(const struct decision_settings *settings, const struct decision_pod *pod)
{
    (void)settings;
    return asked(pod) && strcmp(asked(pod), "true") == 0;
}

static bool says_nothing(const struct decision_settings *settings, const struct decision_pod *pod)
{
    (void)pod;
    return settings->only_where_asked;
}

static const struct {
    bool (*matches)(const struct decision_settings *settings, const struct decision_pod *pod);
    const char *reason; /* why not; NULL: it gets one */
} rows[] = {
    { is_left_namespace, "its namespace is left alone" },
    { is_on_host_network, "hostNetwork: redirect rules in the node's network namespace would be for the whole node" },
    { is_windows, "it is for Windows" },
    { has_no_containers, "it has no containers" },
    { says_no, "label or annotation " ANNOTATION_PREFIX "inject is false" },
    { is_in_another_mesh, "it has another mesh's sidecar" },
    { says_yes, NULL },
    { says_nothing, "label or annotation " ANNOTATION_PREFIX "inject is not there" },
};

bool decision_make(const struct decision_settings *settings, const struct decision_pod *pod,
                   char reason[DECISION_REASON_SIZE])
{
    reason[0] = '\0';
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        if (!rows[i].matches(settings, pod))
            continue;
        snprintf(reason, DECISION_REASON_SIZE, "%s", rows[i].reason ? rows[i].reason : "");
        return !rows[i].reason;
    }
    return true;
}

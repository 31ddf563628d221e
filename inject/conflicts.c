#include "inject/conflicts.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/macros.h"
#include "inject/parts.h"

#define MOST_ITEMS 1000 /* of containers, or volumes */

static const char *const container_lists[] = { "initContainers", "containers" };

/* Says what is in the way, and that something is. */
static bool found(char reason[POD_WORDS_SIZE], const char *format, ...) PRINTF_LIKE(2, 3);

static bool found(char reason[POD_WORDS_SIZE], const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(reason, POD_WORDS_SIZE, format, arguments);
    va_end(arguments);
    return true;
}

/* What it stands for is not known here. */
static bool has_merge_key(const struct value *spec, char reason[POD_WORDS_SIZE])
{
    return value_get(spec, "<<") && found(reason, "its spec has a YAML merge key (<<), which Kubernetes does not know; "
                                                  "write out what it stands for");
}

/* What is to have something added must be what it should be. */
static bool has_odd_lists(const struct value *spec, char reason[POD_WORDS_SIZE])
{
    static const char *const lists[] = { "containers", "initContainers", "volumes" };

    for (size_t i = 0; i < ARRAY_SIZE(lists); i++) {
        const struct value *list = value_get(spec, lists[i]);

        if (!list || value_is_null(list) || (list->kind == VALUE_LIST && list->count <= MOST_ITEMS))
            continue;
        if (list->kind == VALUE_LIST)
            return found(reason, "spec.%s has more than %d items", lists[i], MOST_ITEMS);
        return found(reason, "spec.%s is no list", lists[i]);
    }
    return false;
}

/* What is noted of a container is found again by its name. */
static bool has_odd_names(const struct value *spec, char reason[POD_WORDS_SIZE])
{
    for (size_t i = 0; i < ARRAY_SIZE(container_lists); i++) {
        const struct value *list = value_get(spec, container_lists[i]);

        for (size_t j = 0; list && j < list->count; j++) {
            const char *name = value_get_text(list->items[j], "name");
            const struct value *first = NULL;

            for (size_t k = 0; name && !first && k < ARRAY_SIZE(container_lists); k++)
                first = value_find_named(value_get(spec, container_lists[k]), name);
            if (!name)
                return found(reason, "a container has no name");
            if (first != list->items[j])
                return found(reason, "two containers are named %.63s", name);
        }
    }
    return false;
}

static bool has_our_volume(const struct value *spec, char reason[POD_WORDS_SIZE])
{
    static const char *const names[] = { PART_RUN_VOLUME, PART_CONFIG_VOLUME, PART_IDENTITY_VOLUME };

    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        if (value_find_named(value_get(spec, "volumes"), names[i]))
            return found(reason, "there is a volume %s that outrigger-inject has not made; choose another name",
                         names[i]);
    }
    return false;
}

static bool has_proxy_ids(const struct value *spec, char reason[POD_WORDS_SIZE])
{
    const struct value *security = value_get(spec, "securityContext"),
                       *groups = value_get(security, "supplementalGroups");
    bool is_taken = part_runs_as_proxy(security) || value_is(security, "fsGroup", PART_UID);

    for (size_t i = 0; groups && i < groups->count; i++)
        is_taken |= groups->items[i]->kind == VALUE_SCALAR && strcmp(groups->items[i]->text, PART_UID) == 0;
    return is_taken && found(reason, "the pod's securityContext has uid or gid " PART_UID ", which is the proxy's: "
                                     "connections would go past the mesh; choose another");
}

/* Each has a name: has_odd_names(). */
static bool is_in_the_way(const struct value *container, bool may_go_past, char reason[POD_WORDS_SIZE])
{
    const struct value *ports = value_get(container, "ports");
    const char *name = value_get_text(container, "name");

    if (strcmp(name, PART_PROXY) == 0 || strcmp(name, PART_INIT) == 0)
        return found(reason, "there is a container %.63s that outrigger-inject has not made; choose another name",
                     name);
    if (part_runs_as_proxy(value_get(container, "securityContext")) && !may_go_past)
        return found(reason,
                     "container %.63s runs as uid or gid " PART_UID ", which is the proxy's: its connections "
                     "would go past the mesh; choose another",
                     name);
    for (size_t i = 0; ports && i < ports->count; i++) {
        const char *port = value_get_text(ports->items[i], "containerPort");

        if (port && part_is_proxy_port((unsigned)strtoul(port, NULL, 0)))
            return found(reason,
                         "container %.63s listens on port %.16s, which the proxy needs (15000, 15001, 15006, "
                         "15021)",
                         name, port);
    }
    return false;
}

/*
 * An init container that ends before an ordinary sidecar starts may run as the proxy does: there is nothing yet that it
 * could go through.
 */
static bool has_containers_in_the_way(const struct value *spec, bool is_native, char reason[POD_WORDS_SIZE])
{
    for (size_t i = 0; i < ARRAY_SIZE(container_lists); i++) {
        const struct value *list = value_get(spec, container_lists[i]);

        for (size_t j = 0; list && j < list->count; j++) {
            const struct value *container = list->items[j];
            bool ends_before = i == 0 && !is_native && !value_is(container, "restartPolicy", "Always");

            if (is_in_the_way(container, ends_before, reason))
                return true;
        }
    }
    return false;
}

bool conflicts_find(const struct value *spec, bool is_native, char reason[POD_WORDS_SIZE])
{
    return has_merge_key(spec, reason) || has_odd_lists(spec, reason) || has_proxy_ids(spec, reason) ||
           has_our_volume(spec, reason) || has_odd_names(spec, reason) ||
           has_containers_in_the_way(spec, is_native, reason);
}

#include "inject/objects.h"

#include <errno.h>
#include <string.h>

#include "base/macros.h"

/* Where the template of a kind is: keys one below the other. */
static const struct {
    const char *kind, *path[4];
} kinds[] = {
    { "Pod", { NULL } },
    { "Deployment", { "spec", "template" } },
    { "StatefulSet", { "spec", "template" } },
    { "DaemonSet", { "spec", "template" } },
    { "ReplicaSet", { "spec", "template" } },
    { "ReplicationController", { "spec", "template" } },
    { "Job", { "spec", "template" } },
    { "CronJob", { "spec", "jobTemplate", "spec", "template" } },
};

static const char *text_or_none(const struct value *map, const char *key)
{
    const char *text = value_get_text(map, key);

    return text ? text : "";
}

static int visit(struct arena *arena, struct value *object, struct value *holder, object_each *each, void *owner)
{
    struct object_pod pod = { .metadata = value_get(holder, "metadata"), .spec = value_get(holder, "spec") };
    const struct value *about = value_get(object, "metadata");
    size_t before;
    int r;

    if (!pod.spec || pod.spec->kind != VALUE_MAP)
        return 0;
    before = pod.metadata ? pod.metadata->count : 1;
    if (!pod.metadata || pod.metadata->kind != VALUE_MAP) {
        pod.metadata = value_new(arena, VALUE_MAP);
        if (value_set(arena, holder, "metadata", pod.metadata) < 0)
            return -ENOMEM;
    }
    pod.kind = text_or_none(object, "kind");
    pod.name = text_or_none(about, "name");
    if (pod.name[0] == '\0')
        pod.name = text_or_none(about, "generateName");
    pod.namespace = text_or_none(about, "namespace");
    r = each(owner, &pod);
    if (before > 0 && pod.metadata->count == 0) /* it was made for what is gone again, or for nothing */
        value_remove(holder, "metadata");
    return r;
}

static bool is_list(const char *kind)
{
    size_t length = strlen(kind);

    return length >= 4 && strcmp(kind + length - 4, "List") == 0;
}

int objects_for_each_pod(struct arena *arena, struct value *document, object_each *each, void *owner)
{
    const char *kind = text_or_none(document, "kind");
    struct value *items = is_list(kind) ? value_get(document, "items") : NULL;
    int r = 0;

    for (size_t i = 0; r == 0 && items && items->kind == VALUE_LIST && i < items->count; i++)
        r = objects_for_each_pod(arena, items->items[i], each, owner);
    for (size_t i = 0; r == 0 && i < ARRAY_SIZE(kinds); i++) {
        struct value *holder = document;

        if (strcmp(kinds[i].kind, kind) != 0)
            continue;
        for (size_t step = 0; step < ARRAY_SIZE(kinds[i].path) && kinds[i].path[step]; step++)
            holder = value_get(holder, kinds[i].path[step]);
        if (holder && holder->kind == VALUE_MAP)
            r = visit(arena, document, holder, each, owner);
    }
    return r;
}

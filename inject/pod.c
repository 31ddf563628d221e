#include "inject/pod.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/macros.h"
#include "inject/annotations.h"
#include "inject/conflicts.h"
#include "inject/json.h"
#include "inject/parts.h"
#include "inject/probes.h"

#define DEFAULT_GRACE_S 30
#define MOST_NOTES      (256 * 1024) /* bytes: Kubernetes lets annotations have no more */

/* Of what is more than an hour, an hour counts. */
static unsigned grace_of(const struct value *spec)
{
    const struct value *given = value_get(spec, "terminationGracePeriodSeconds");
    bool is_given = given && given->kind == VALUE_SCALAR && !value_is_null(given);
    long seconds = is_given ? strtol(given->text, NULL, 10) : DEFAULT_GRACE_S;

    return (unsigned)MIN(MAX(seconds, 0L), 3600L);
}

/*
 * The list or map under `key`. What is not there is made; so is what is empty, or null, last in `map`, where it would
 * be if it had been taken out and were made again. NULL without memory.
 */
static struct value *obtain(struct arena *arena, struct value *map, const char *key, enum value_kind kind)
{
    struct value *value = value_get(map, key);

    if (value && value->kind == kind && value->count > 0)
        return value;
    value_remove(map, key);
    value = value_new(arena, kind);
    return value_set(arena, map, key, value) < 0 ? NULL : value;
}

static int insert(struct arena *arena, struct value *spec, const char *key, size_t index, struct value *item)
{
    struct value *list = obtain(arena, spec, key, VALUE_LIST);

    return list ? value_insert(arena, list, MIN(index, list->count), item) : -ENOMEM;
}

static int annotate(struct arena *arena, struct value *metadata, const char *key, struct value *text)
{
    struct value *map = obtain(arena, metadata, "annotations", VALUE_MAP);

    return map ? value_set(arena, map, key, text) : -ENOMEM;
}

/* kubectl logs and exec are for the app, not for what was put before it. */
static int keep_default_container(struct arena *arena, struct value *metadata, const struct value *spec,
                                  bool *ret_added)
{
    static const char key[] = "kubectl.kubernetes.io/default-container";
    const struct value *first = value_get(spec, "containers")->items[0];

    *ret_added = !value_get(value_get(metadata, "annotations"), key);
    return *ret_added ? annotate(arena, metadata, key, value_new_text(arena, value_get_text(first, "name"))) : 0;
}

/* Their connections are redirected to a proxy that starts after them. */
static bool has_captured_init_containers(const struct value *spec)
{
    const struct value *list = value_get(spec, "initContainers");

    for (size_t i = 0; list && i < list->count; i++) {
        if (!part_runs_as_proxy(value_get(list->items[i], "securityContext")))
            return true;
    }
    return false;
}

static const char *warning_of(const struct value *spec, const struct part_choice *choice)
{
    if (choice->is_native)
        return "";
    if (value_is(spec, "restartPolicy", "OnFailure") || value_is(spec, "restartPolicy", "Never"))
        return "a Job does not complete by itself beside an ordinary sidecar: run its command under `outriggerctl run "
               "--quit --`, or use native sidecars (Kubernetes 1.29, annotation " ANNOTATION_PREFIX "sidecar: native)";
    if (has_captured_init_containers(spec))
        return "init containers run before an ordinary sidecar, with the redirect rules of it in force: they have no "
               "network but what is excluded; use native sidecars, or exclude-outbound-ports and -cidrs, or run them "
               "as uid " PART_UID;
    return "";
}

static int annotate_json(struct arena *arena, struct value *metadata, const char *key, const struct value *value)
{
    const char *text = json_text(arena, value);

    return text ? annotate(arena, metadata, key, value_new_text(arena, text)) : -ENOMEM;
}

static int send_probes_to_proxy(struct arena *arena, struct value *metadata, struct value *spec,
                                struct part_choice *choice)
{
    struct value *originals, *probes;
    int r = probes_rewrite(arena, spec, &originals, &probes);

    choice->has_probes = r == 0 && originals->count > 0;
    if (!choice->has_probes)
        return r;
    r = annotate_json(arena, metadata, ANNOTATION_PROBES, probes);
    return r < 0 ? r : annotate_json(arena, metadata, ANNOTATION_ORIGINALS, originals);
}

static int add_parts(struct arena *arena, struct value *metadata, struct value *spec, struct part_choice *choice)
{
    const char *rewrites = choice->annotations->values[ANNOTATION_REWRITE_PROBES];
    char status[160];
    bool default_added;
    int r = keep_default_container(arena, metadata, spec, &default_added);

    if (r == 0 && (!rewrites || strcmp(rewrites, "true") == 0))
        r = send_probes_to_proxy(arena, metadata, spec, choice);

    if (r == 0 && !choice->annotations->values[ANNOTATION_CONFIG] &&
        !choice->annotations->values[ANNOTATION_CONFIG_MAP])
        r = annotate(arena, metadata, ANNOTATION_GENERATED, part_generated_config(arena, choice));
    if (r == 0 && choice->is_native)
        r = insert(arena, spec, "initContainers", 0, part_proxy(arena, choice));
    if (r == 0)
        r = insert(arena, spec, "initContainers", 0, part_init(arena, choice));
    if (r == 0 && !choice->is_native)
        r = insert(arena, spec, "containers", 0, part_proxy(arena, choice));
    if (r == 0)
        r = insert(arena, spec, "volumes", SIZE_MAX, part_run_volume(arena));
    if (r == 0)
        r = insert(arena, spec, "volumes", SIZE_MAX, part_config_volume(arena, choice));
    if (r == 0 && part_has_identity(choice))
        r = insert(arena, spec, "volumes", SIZE_MAX, part_identity_volume(arena, choice));
    snprintf(status, sizeof status, "injected%s", default_added ? " default-container" : "");
    return r < 0 ? r : annotate(arena, metadata, ANNOTATION_STATUS, value_new_text(arena, status));
}

/* What is ours by its name, whoever has written it. */
static void take_notes_out(struct value *annotations)
{
    value_remove(annotations, ANNOTATION_GENERATED);
    value_remove(annotations, ANNOTATION_PROBES);
    value_remove(annotations, ANNOTATION_ORIGINALS);
    value_remove(annotations, ANNOTATION_STATUS);
}

void pod_inject(struct arena *arena, const char *namespace, struct value *metadata, struct value *spec,
                const struct inject_settings *settings, struct pod_outcome *ret_outcome)
{
    struct annotations annotations;
    struct part_choice choice = { .annotations = &annotations };
    const struct decision_pod about = { namespace, metadata, spec, &annotations };
    const char *sidecar, *holds, *mode;

    char problem[POD_WORDS_SIZE];
    bool is_understood = annotations_read(metadata, &annotations, problem, sizeof problem);

    *ret_outcome = (struct pod_outcome){ .verdict = POD_REFUSED };
    pod_uninject(arena, metadata, spec);
    if (!decision_make(&settings->decision, &about, ret_outcome->reason)) {
        ret_outcome->verdict = POD_SKIPPED;
        return;
    }
    if (!is_understood) {
        snprintf(ret_outcome->reason, sizeof ret_outcome->reason, "%s", problem);
        return;
    }
    sidecar = annotations.values[ANNOTATION_SIDECAR];
    choice.is_native = sidecar ? strcmp(sidecar, "native") == 0 : !settings->ordinary;
    if (conflicts_find(spec, choice.is_native, ret_outcome->reason))
        return;
    take_notes_out(value_get(metadata, "annotations"));
    holds = annotations.values[ANNOTATION_HOLD_APPLICATION];
    choice.image = annotations.values[ANNOTATION_IMAGE] ? annotations.values[ANNOTATION_IMAGE] : settings->image;
    choice.holds_application = !holds || strcmp(holds, "true") == 0;
    mode = annotations.values[ANNOTATION_MODE];
    choice.is_tproxy = mode && strcmp(mode, "tproxy") == 0;
    choice.grace_s = grace_of(spec);
    snprintf(ret_outcome->warning, sizeof ret_outcome->warning, "%s", warning_of(spec, &choice));
    ret_outcome->verdict = add_parts(arena, metadata, spec, &choice) < 0 ? POD_NO_MEMORY : POD_INJECTED;
}

/* A list, or map, that is empty now was not there before. */
static void take_named(struct value *spec, const char *key, const char *name)
{
    struct value *list = value_get(spec, key);

    for (size_t i = 0; list && list->kind == VALUE_LIST && i < list->count; i++) {
        if (value_is(list->items[i], "name", name)) {
            value_remove_item(list, i);
            break;
        }
    }
    if (list && list->kind == VALUE_LIST && list->count == 0)
        value_remove(spec, key);
}

/* What is noted there may have been changed by hand: then as much is put back as can be understood. */
static void restore_probes(struct arena *arena, const struct value *annotations, struct value *spec)
{
    const char *text = value_get_text(annotations, ANNOTATION_ORIGINALS);
    struct value *originals;

    if (text && strlen(text) <= MOST_NOTES && json_read(arena, text, &originals) == 0)
        probes_restore(spec, originals);
}

bool pod_uninject(struct arena *arena, struct value *metadata, struct value *spec)
{
    struct value *annotations = value_get(metadata, "annotations");
    const char *status = value_get_text(annotations, ANNOTATION_STATUS);
    bool default_added = status && strstr(status, "default-container");

    if (!status)
        return false;
    take_named(spec, "initContainers", PART_INIT);
    take_named(spec, "initContainers", PART_PROXY);
    take_named(spec, "containers", PART_PROXY);
    take_named(spec, "volumes", PART_RUN_VOLUME);
    take_named(spec, "volumes", PART_CONFIG_VOLUME);
    take_named(spec, "volumes", PART_IDENTITY_VOLUME);
    restore_probes(arena, annotations, spec);
    take_notes_out(annotations);
    if (default_added)
        value_remove(annotations, "kubectl.kubernetes.io/default-container");
    if (annotations->count == 0)
        value_remove(metadata, "annotations");
    return true;
}

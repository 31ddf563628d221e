#include "inject/pod.h"

#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/macros.h"
#include "inject/annotations.h"
#include "inject/json.h"
#include "inject/parts.h"
#include "inject/probes.h"

#define PROXY_ID        "1337"
#define DEFAULT_GRACE_S 30
#define MOST_NOTES      (256 * 1024) /* bytes: Kubernetes lets annotations have no more */
#define MOST_ITEMS      1000         /* of containers, or volumes */

static void say(char words[POD_WORDS_SIZE], const char *format, ...) PRINTF_LIKE(2, 3);

static void say(char words[POD_WORDS_SIZE], const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(words, POD_WORDS_SIZE, format, arguments);
    va_end(arguments);
}

static bool is_null(const struct value *value)
{
    return value->kind == VALUE_SCALAR && value->style == VALUE_PLAIN &&
           (value->text[0] == '\0' || strcmp(value->text, "~") == 0 || strcmp(value->text, "null") == 0);
}

static bool is(const struct value *map, const char *key, const char *text)
{
    const char *found = value_get_text(map, key);

    return found && strcmp(found, text) == 0;
}

/* Calls `check` for every container of the app's, until one returns false. */
static bool for_each_container(const struct value *spec, struct pod_outcome *outcome,
                               bool (*check)(const struct value *container, struct pod_outcome *outcome))
{
    static const char *const lists[] = { "initContainers", "containers" };

    for (size_t i = 0; i < ARRAY_SIZE(lists); i++) {
        const struct value *list = value_get(spec, lists[i]);

        for (size_t j = 0; list && j < list->count; j++) {
            if (!check(list->items[j], outcome))
                return false;
        }
    }
    return true;
}

static const char *name_of(const struct value *container)
{
    const char *name = value_get_text(container, "name");

    return name ? name : "?";
}

/* What runs as the proxy is never captured: it would be past the mesh. */
static bool check_ids(const struct value *container, struct pod_outcome *outcome)
{
    const struct value *security = value_get(container, "securityContext");

    if (!is(security, "runAsUser", PROXY_ID) && !is(security, "runAsGroup", PROXY_ID))
        return true;
    say(outcome->reason,
        "container %.63s runs as uid or gid " PROXY_ID
        ", which is the proxy's: its connections would go past the mesh; "
        "choose another",
        name_of(container));
    return false;
}

static bool check_names(const struct value *container, struct pod_outcome *outcome)
{
    if (!is(container, "name", PART_PROXY) && !is(container, "name", PART_INIT))
        return true;
    say(outcome->reason, "there is a container %.63s that outrigger-inject has not made; choose another name",
        name_of(container));
    return false;
}

/* What is noted of a container is found again by its name. */
static bool check_duplicates(const struct value *spec, struct pod_outcome *outcome)
{
    static const char *const lists[] = { "initContainers", "containers" };

    for (size_t i = 0; i < ARRAY_SIZE(lists); i++) {
        const struct value *list = value_get(spec, lists[i]);

        for (size_t j = 0; list && j < list->count; j++) {
            const char *name = value_get_text(list->items[j], "name");
            const struct value *first = name ? value_find_named(value_get(spec, lists[0]), name) : NULL;

            if (name && !first)
                first = value_find_named(value_get(spec, lists[1]), name);
            if (first == list->items[j])
                continue;
            say(outcome->reason, name ? "two containers are named %.63s" : "a container has no name", name);
            return false;
        }
    }
    return true;
}

static bool check_volumes(const struct value *spec, struct pod_outcome *outcome)
{
    static const char *const names[] = { PART_RUN_VOLUME, PART_CONFIG_VOLUME, PART_IDENTITY_VOLUME };

    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        if (!value_find_named(value_get(spec, "volumes"), names[i]))
            continue;
        say(outcome->reason, "there is a volume %s that outrigger-inject has not made; choose another name", names[i]);
        return false;
    }
    return true;
}

static bool check_ports(const struct value *container, struct pod_outcome *outcome)
{
    const struct value *ports = value_get(container, "ports");

    for (size_t i = 0; ports && i < ports->count; i++) {
        const char *port = value_get_text(ports->items[i], "containerPort");

        if (!port || !part_is_proxy_port((unsigned)strtoul(port, NULL, 0)))
            continue;
        say(outcome->reason,
            "container %.63s listens on port %.16s, which the proxy needs (15000, 15001, 15006, 15021)",
            name_of(container), port);
        return false;
    }
    return true;
}

static bool check_groups(const struct value *spec, struct pod_outcome *outcome)
{
    const struct value *security = value_get(spec, "securityContext"),
                       *groups = value_get(security, "supplementalGroups");
    bool is_taken = is(security, "runAsUser", PROXY_ID) || is(security, "runAsGroup", PROXY_ID) ||
                    is(security, "fsGroup", PROXY_ID);

    for (size_t i = 0; groups && i < groups->count; i++)
        is_taken |= groups->items[i]->kind == VALUE_SCALAR && strcmp(groups->items[i]->text, PROXY_ID) == 0;
    if (is_taken)
        say(outcome->reason, "the pod's securityContext has uid or gid " PROXY_ID
                             ", which is the proxy's: connections would go past the "
                             "mesh; choose another");
    return !is_taken;
}

/* What it stands for is not known here. */
static bool check_merge_keys(const struct value *spec, struct pod_outcome *outcome)
{
    if (!value_get(spec, "<<"))
        return true;
    say(outcome->reason,
        "its spec has a YAML merge key (<<), which Kubernetes does not know; write out what it stands for");
    return false;
}

/* What is to have something added must be what it should be. */
static bool check_lists(const struct value *spec, struct pod_outcome *outcome)
{
    static const char *const lists[] = { "containers", "initContainers", "volumes" };

    for (size_t i = 0; i < ARRAY_SIZE(lists); i++) {
        const struct value *list = value_get(spec, lists[i]);

        if (!list || is_null(list) || (list->kind == VALUE_LIST && list->count <= MOST_ITEMS))
            continue;
        if (list->kind == VALUE_LIST)
            say(outcome->reason, "spec.%s has more than %d items", lists[i], MOST_ITEMS);
        else
            say(outcome->reason, "spec.%s is no list", lists[i]);
        return false;
    }
    return true;
}

static bool is_allowed(const struct value *spec, struct pod_outcome *outcome)
{
    return check_merge_keys(spec, outcome) && check_lists(spec, outcome) && check_groups(spec, outcome) &&
           check_volumes(spec, outcome) && check_duplicates(spec, outcome) &&
           for_each_container(spec, outcome, check_names) && for_each_container(spec, outcome, check_ids) &&
           for_each_container(spec, outcome, check_ports);
}

/* Of what is more than an hour, an hour counts. */
static unsigned grace_of(const struct value *spec)
{
    const struct value *given = value_get(spec, "terminationGracePeriodSeconds");
    bool is_given = given && given->kind == VALUE_SCALAR && !is_null(given);
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
    return *ret_added ? annotate(arena, metadata, key, value_new_text(arena, name_of(first))) : 0;
}

static void warn(const struct value *spec, const struct part_choice *choice, struct pod_outcome *outcome)
{
    const struct value *init_containers = value_get(spec, "initContainers");

    if (choice->is_native)
        return;
    if (is(spec, "restartPolicy", "OnFailure") || is(spec, "restartPolicy", "Never"))
        say(outcome->warning,
            "a Job does not complete by itself beside an ordinary sidecar: run its command under `outriggerctl run "
            "--quit "
            "--`, or use native sidecars (Kubernetes 1.29, annotation %ssidecar: native)",
            ANNOTATION_PREFIX);
    else if (init_containers && init_containers->count > 0)
        say(outcome->warning, "init containers run before an ordinary sidecar, with the redirect rules of it in force: "
                              "they have no network "
                              "but what is excluded; use native sidecars, or exclude-outbound-ports and -cidrs, or run "
                              "them as uid " PROXY_ID);
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
        say(ret_outcome->reason, "%s", problem);
        return;
    }
    if (!is_allowed(spec, ret_outcome))
        return;
    take_notes_out(value_get(metadata, "annotations"));
    sidecar = annotations.values[ANNOTATION_SIDECAR];
    holds = annotations.values[ANNOTATION_HOLD_APPLICATION];
    choice.image = annotations.values[ANNOTATION_IMAGE] ? annotations.values[ANNOTATION_IMAGE] : settings->image;
    choice.is_native = sidecar ? strcmp(sidecar, "native") == 0 : !settings->ordinary;
    choice.holds_application = !holds || strcmp(holds, "true") == 0;
    mode = annotations.values[ANNOTATION_MODE];
    choice.is_tproxy = mode && strcmp(mode, "tproxy") == 0;
    choice.grace_s = grace_of(spec);
    warn(spec, &choice, ret_outcome);
    ret_outcome->verdict = add_parts(arena, metadata, spec, &choice) < 0 ? POD_NO_MEMORY : POD_INJECTED;
}

/* A list, or map, that is empty now was not there before. */
static void take_named(struct value *spec, const char *key, const char *name)
{
    struct value *list = value_get(spec, key);

    for (size_t i = 0; list && list->kind == VALUE_LIST && i < list->count; i++) {
        if (is(list->items[i], "name", name)) {
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

#include "inject/parts.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/macros.h"

#define UID "1337"

/* Builds maps and lists; once something failed it goes on without effect, and the whole is NULL at the end. */
struct build {
    struct arena *arena;
    bool failed;
};

static struct value *map(struct build *build)
{
    struct value *value = value_new(build->arena, VALUE_MAP);

    build->failed |= !value;
    return value;
}

static struct value *put(struct build *build, struct value *into, const char *key, struct value *value)
{
    if (into && value)
        build->failed |= value_set(build->arena, into, key, value) < 0;
    else
        build->failed = true;
    return value;
}

static void put_text(struct build *build, struct value *into, const char *key, const char *text)
{
    put(build, into, key, value_new_text(build->arena, text));
}

/* A number, true, false, or a word that needs no quotes. */
static void put_plain(struct build *build, struct value *into, const char *key, const char *text)
{
    put(build, into, key, value_new_plain(build->arena, text));
}

static struct value *put_map(struct build *build, struct value *into, const char *key)
{
    return put(build, into, key, value_new(build->arena, VALUE_MAP));
}

static struct value *put_list(struct build *build, struct value *into, const char *key)
{
    return put(build, into, key, value_new(build->arena, VALUE_LIST));
}

static struct value *add(struct build *build, struct value *list, struct value *item)
{
    if (list && item)
        build->failed |= value_insert(build->arena, list, list->count, item) < 0;
    else
        build->failed = true;
    return item;
}

static void add_text(struct build *build, struct value *list, const char *text)
{
    add(build, list, value_new_text(build->arena, text));
}

static struct value *finish(const struct build *build, struct value *value)
{
    return build->failed ? NULL : value;
}

static const char *given(const struct part_choice *choice, enum annotation annotation, const char *usual)
{
    const char *text = choice->annotations->values[annotation];

    return text ? text : usual;
}

/* The Pod Security profile "restricted", but for what the init container needs. */
static void put_security(struct build *build, struct value *container, bool is_init)
{
    struct value *security = put_map(build, container, "securityContext"), *capabilities;

    put_plain(build, security, "allowPrivilegeEscalation", "false");
    put_plain(build, security, "privileged", "false");
    put_plain(build, security, "readOnlyRootFilesystem", "true");
    put_plain(build, security, "runAsNonRoot", is_init ? "false" : "true");
    put_plain(build, security, "runAsUser", is_init ? "0" : UID);
    put_plain(build, security, "runAsGroup", is_init ? "0" : UID);
    capabilities = put_map(build, security, "capabilities");
    add(build, put_list(build, capabilities, "drop"), value_new_plain(build->arena, "ALL"));
    if (is_init)
        add(build, put_list(build, capabilities, "add"), value_new_plain(build->arena, "NET_ADMIN"));
    put_plain(build, put_map(build, security, "seccompProfile"), "type", "RuntimeDefault");
}

static void put_resources(struct build *build, struct value *container, const struct part_choice *choice)
{
    struct value *resources = put_map(build, container, "resources");
    struct value *requests = put_map(build, resources, "requests"), *limits = put_map(build, resources, "limits");
    const char *cpu_limit = given(choice, ANNOTATION_CPU_LIMIT, NULL);

    put_text(build, requests, "cpu", given(choice, ANNOTATION_CPU, "10m"));
    put_text(build, requests, "memory", given(choice, ANNOTATION_MEMORY, "32Mi"));
    if (cpu_limit) /* without one a burst is not throttled */
        put_text(build, limits, "cpu", cpu_limit);
    put_text(build, limits, "memory", given(choice, ANNOTATION_MEMORY_LIMIT, "256Mi"));
}

static void add_mount(struct build *build, struct value *mounts, const char *name, const char *path, bool read_only)
{
    struct value *mount = add(build, mounts, map(build));

    put_plain(build, mount, "name", name);
    put_plain(build, mount, "mountPath", path);
    if (read_only)
        put_plain(build, mount, "readOnly", "true");
}

struct value *part_init(struct arena *arena, const struct part_choice *choice)
{
    struct build build = { .arena = arena };
    struct value *container = map(&build), *arguments;

    put_plain(&build, container, "name", PART_INIT);
    put_text(&build, container, "image", choice->image);
    add_text(&build, put_list(&build, container, "command"), "/bin/outrigger-init");
    arguments = value_new(arena, VALUE_LIST);
    for (enum annotation i = ANNOTATION_FIRST_RULE; i < ANNOTATION_COUNT; i++) {
        char word[1200];

        if (!choice->annotations->values[i])
            continue;
        snprintf(word, sizeof word, "--%s=%s", annotation_name(i), choice->annotations->values[i]);
        add_text(&build, arguments, word);
    }
    if (arguments && arguments->count > 0)
        put(&build, container, "args", arguments);
    put_resources(&build, container, choice);
    put_security(&build, container, true);
    return finish(&build, container);
}

static void put_probe(struct build *build, struct value *container, const char *kind, const char *path,
                      const char *every)
{
    struct value *probe = put_map(build, container, kind), *request = put_map(build, probe, "httpGet");

    put_plain(build, request, "path", path);
    put_plain(build, request, "port", "15021");
    put_plain(build, probe, "periodSeconds", every);
    put_plain(build, probe, "timeoutSeconds", "3");
    put_plain(build, probe, "failureThreshold", strcmp(kind, "startupProbe") == 0 ? "600" : "4");
}

static void add_command(struct build *build, struct value *hook, const char *first, const char *second)
{
    struct value *command = put_list(build, put_map(build, hook, "exec"), "command");

    add_text(build, command, "/bin/outriggerctl");
    add_text(build, command, first);
    if (second)
        add_text(build, command, second);
}

struct value *part_proxy(struct arena *arena, const struct part_choice *choice)
{
    struct build build = { .arena = arena };
    struct value *container = map(&build), *port, *mounts, *lifecycle;

    put_plain(&build, container, "name", PART_PROXY);
    put_text(&build, container, "image", choice->image);
    add_text(&build, put_list(&build, container, "command"), "/bin/outrigger");
    port = add(&build, put_list(&build, container, "ports"), map(&build));
    put_plain(&build, port, "name", "outrigger-health");
    put_plain(&build, port, "containerPort", "15021");
    put_plain(&build, port, "protocol", "TCP");
    if (choice->is_native) {
        put_plain(&build, container, "restartPolicy", "Always");
        put_probe(&build, container, "startupProbe", "/healthz/ready", "1");
    } else if (choice->holds_application) {
        lifecycle = put_map(&build, container, "lifecycle");
        add_command(&build, put_map(&build, lifecycle, "postStart"), "wait", "--timeout=60s");
    }
    put_probe(&build, container, "readinessProbe", "/healthz/ready", "5");
    put_probe(&build, container, "livenessProbe", "/healthz/live", "10");
    put_resources(&build, container, choice);
    put_security(&build, container, false);
    mounts = put_list(&build, container, "volumeMounts");
    add_mount(&build, mounts, PART_RUN_VOLUME, "/run/outrigger", false);
    add_mount(&build, mounts, PART_CONFIG_VOLUME, "/etc/outrigger", true);
    return finish(&build, container);
}

struct value *part_run_volume(struct arena *arena)
{
    struct build build = { .arena = arena };
    struct value *volume = map(&build), *directory;

    put_plain(&build, volume, "name", PART_RUN_VOLUME);
    directory = put_map(&build, volume, "emptyDir");
    put_plain(&build, directory, "medium", "Memory");
    put_text(&build, directory, "sizeLimit", "16Mi");
    return finish(&build, volume);
}

struct value *part_config_volume(struct arena *arena, const struct part_choice *choice)
{
    const char *config_map = choice->annotations->values[ANNOTATION_CONFIG_MAP];
    struct build build = { .arena = arena };
    struct value *volume = map(&build), *item;
    char field[128];

    put_plain(&build, volume, "name", PART_CONFIG_VOLUME);
    if (config_map) {
        put_text(&build, put_map(&build, volume, "configMap"), "name", config_map);
        return finish(&build, volume);
    }
    snprintf(field, sizeof field, "metadata.annotations['%s']",
             choice->annotations->values[ANNOTATION_CONFIG] ? ANNOTATION_PREFIX "config" : ANNOTATION_GENERATED);
    item = add(&build, put_list(&build, put_map(&build, volume, "downwardAPI"), "items"), map(&build));
    put_plain(&build, item, "path", "outrigger.yaml");
    put_text(&build, put_map(&build, item, "fieldRef"), "fieldPath", field);
    return finish(&build, volume);
}

/*
 * A native sidecar is ended after the app; an ordinary one together with it: it goes on accepting for a while, since
 * endpoints are taken out everywhere only some seconds later, and stays for the app's own shutdown.
 */
struct value *part_generated_config(struct arena *arena, const struct part_choice *choice)
{
    unsigned grace_s = choice->grace_s, delay_s = MIN(5U, grace_s / 4), margin_s = MIN(5U, grace_s / 4);
    char text[256];

    if (choice->is_native)
        snprintf(text, sizeof text, "version: 1\nlog: {level: %s}\nintercept: {require: true}\n",
                 given(choice, ANNOTATION_LOG_LEVEL, "info"));
    else
        snprintf(text, sizeof text,
                 "version: 1\nlog: {level: %s}\nintercept: {require: true}\ndrain: {delay: %us, minimum: %us, timeout: "
                 "%us}\n",
                 given(choice, ANNOTATION_LOG_LEVEL, "info"), delay_s, grace_s - margin_s, grace_s - margin_s / 2);
    return value_new_text(arena, text);
}

#include "inject/parts.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/macros.h"
#include "base/strbuf.h"
#include "base/units.h"
#include "inject/probes.h"

#define CONFIG_DIRECTORY  "/etc/outrigger"
#define NATIVE_TIMEOUT_MS 25000 /* as the proxy has it when nothing is said */
#define USUAL_LIMIT       "256Mi"
#define CERT_MANAGER_CSI  "spiffe.csi.cert-manager.io"

bool part_is_proxy_port(unsigned port)
{
    return port == 15000 || port == 15001 || port == 15006 || port == 15021;
}

bool part_runs_as_proxy(const struct value *security)
{
    return value_is(security, "runAsUser", PART_UID) || value_is(security, "runAsGroup", PART_UID);
}

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

/*
 * The Pod Security profile "restricted", but for what the init container needs, and the proxy in mode tproxy: its gid
 * is what the redirect rules know it by.
 */
static void put_security(struct build *build, struct value *container, const struct part_choice *choice, bool is_init)
{
    bool is_root = is_init || choice->is_tproxy;
    struct value *security = put_map(build, container, "securityContext"), *capabilities;

    put_plain(build, security, "allowPrivilegeEscalation", "false");
    put_plain(build, security, "privileged", "false");
    put_plain(build, security, "readOnlyRootFilesystem", "true");
    put_plain(build, security, "runAsNonRoot", is_root ? "false" : "true");
    put_plain(build, security, "runAsUser", is_root ? "0" : PART_UID);
    put_plain(build, security, "runAsGroup", is_init ? "0" : PART_UID);
    capabilities = put_map(build, security, "capabilities");
    add(build, put_list(build, capabilities, "drop"), value_new_plain(build->arena, "ALL"));
    if (is_root)
        add(build, put_list(build, capabilities, "add"), value_new_plain(build->arena, "NET_ADMIN"));
    put_plain(build, put_map(build, security, "seccompProfile"), "type", "RuntimeDefault");
}

static void put_resources(struct build *build, struct value *container, const struct part_choice *choice)
{
    struct value *resources = put_map(build, container, "resources");
    struct value *requests = put_map(build, resources, "requests"), *limits = put_map(build, resources, "limits");
    const char *memory = given(choice, ANNOTATION_MEMORY, ANNOTATION_USUAL_MEMORY);
    const char *cpu_limit = given(choice, ANNOTATION_CPU_LIMIT, NULL);

    put_text(build, requests, "cpu", given(choice, ANNOTATION_CPU, ANNOTATION_USUAL_CPU));
    put_text(build, requests, "memory", memory);
    if (cpu_limit) /* without one a burst is not throttled */
        put_text(build, limits, "cpu", cpu_limit);
    put_text(build, limits, "memory",
             given(choice, ANNOTATION_MEMORY_LIMIT, annotation_exceeds(memory, USUAL_LIMIT) ? memory : USUAL_LIMIT));
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
    put_security(&build, container, choice, true);
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
    if (choice->has_probes) {
        struct value *arguments = put_list(&build, container, "args");

        add_text(&build, arguments, "--probes");
        add_text(&build, arguments, CONFIG_DIRECTORY "/" PROBES_FILE);
    }
    port = add(&build, put_list(&build, container, "ports"), map(&build));
    put_plain(&build, port, "name", "proxy-health");
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
    put_security(&build, container, choice, false);
    mounts = put_list(&build, container, "volumeMounts");
    add_mount(&build, mounts, PART_RUN_VOLUME, "/run/outrigger", false);
    add_mount(&build, mounts, PART_CONFIG_VOLUME, CONFIG_DIRECTORY, true);
    if (part_has_identity(choice))
        add_mount(&build, mounts, PART_IDENTITY_VOLUME, "/var/run/secrets/spiffe.io", true);
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

static void add_annotation_file(struct build *build, struct value *items, const char *path, const char *annotation)
{
    struct value *item = add(build, items, map(build));
    char field[128];

    snprintf(field, sizeof field, "metadata.annotations['%s']", annotation);
    put_plain(build, item, "path", path);
    put_text(build, put_map(build, item, "fieldRef"), "fieldPath", field);
}

struct value *part_config_volume(struct arena *arena, const struct part_choice *choice)
{
    const char *config_map = choice->annotations->values[ANNOTATION_CONFIG_MAP];
    bool is_inline = choice->annotations->values[ANNOTATION_CONFIG] != NULL;
    struct build build = { .arena = arena };
    struct value *volume = map(&build), *sources, *items;

    put_plain(&build, volume, "name", PART_CONFIG_VOLUME);
    if (!config_map) {
        items = put_list(&build, put_map(&build, volume, "downwardAPI"), "items");
        add_annotation_file(&build, items, "outrigger.yaml",
                            is_inline ? ANNOTATION_PREFIX "config" : ANNOTATION_GENERATED);
        if (choice->has_probes)
            add_annotation_file(&build, items, PROBES_FILE, ANNOTATION_PROBES);
    } else if (!choice->has_probes) {
        put_text(&build, put_map(&build, volume, "configMap"), "name", config_map);
    } else {
        sources = put_list(&build, put_map(&build, volume, "projected"), "sources");
        put_text(&build, put_map(&build, add(&build, sources, map(&build)), "configMap"), "name", config_map);
        items = put_list(&build, put_map(&build, add(&build, sources, map(&build)), "downwardAPI"), "items");
        add_annotation_file(&build, items, PROBES_FILE, ANNOTATION_PROBES);
    }
    return finish(&build, volume);
}

bool part_has_identity(const struct part_choice *choice)
{
    return choice->annotations->values[ANNOTATION_IDENTITY_SECRET] ||
           choice->annotations->values[ANNOTATION_IDENTITY_CSI_DRIVER];
}

struct value *part_identity_volume(struct arena *arena, const struct part_choice *choice)
{
    const char *secret = choice->annotations->values[ANNOTATION_IDENTITY_SECRET];
    struct build build = { .arena = arena };
    struct value *volume = map(&build), *csi;

    put_plain(&build, volume, "name", PART_IDENTITY_VOLUME);
    if (secret) {
        put_text(&build, put_map(&build, volume, "secret"), "secretName", secret);
        return finish(&build, volume);
    }
    csi = put_map(&build, volume, "csi");
    put_text(&build, csi, "driver", given(choice, ANNOTATION_IDENTITY_CSI_DRIVER, ""));
    put_plain(&build, csi, "readOnly", "true");
    /* Its files are root's otherwise, and the proxy could not read them. */
    if (strcmp(given(choice, ANNOTATION_IDENTITY_CSI_DRIVER, ""), CERT_MANAGER_CSI) == 0)
        put_text(&build, put_map(&build, csi, "volumeAttributes"), CERT_MANAGER_CSI "/fs-group", PART_UID);
    return finish(&build, volume);
}

static void append_interception(const struct part_choice *choice, struct strbuf *text)
{
    const char *tls_mode = choice->annotations->values[ANNOTATION_TLS_MODE];

    strbuf_append(text, "intercept:\n  require: true\n");
    if (choice->is_tproxy || tls_mode)
        strbuf_append(text, "  inbound:\n");
    if (choice->is_tproxy)
        strbuf_append(text, "    mode: tproxy\n");
    if (tls_mode)
        strbuf_printf(text, "    tls: {mode: %s}\n", tls_mode);
    if (part_has_identity(choice))
        strbuf_append(text, "identity: {}\n");
}

/* What is asked for, else what is usual. */
static uint64_t drain_of(const struct part_choice *choice, enum annotation annotation, uint64_t usual_ms)
{
    const char *text = choice->annotations->values[annotation];
    uint64_t ms;

    return text && units_parse_duration(text, &ms) == 0 ? ms : usual_ms;
}

/* Nothing where the proxy's own defaults are meant. Delay and minimum lie within the timeout. */
static void append_drain(const struct part_choice *choice, struct strbuf *text)
{
    unsigned grace_s = choice->grace_s, margin_s = MIN(5U, grace_s / 4);
    uint64_t delay_ms = choice->is_native ? 0 : MIN(5U, grace_s / 4) * 1000UL;
    uint64_t minimum_ms = choice->is_native ? 0 : (grace_s - margin_s) * 1000UL;
    uint64_t timeout_ms = choice->is_native ? NATIVE_TIMEOUT_MS : (grace_s - margin_s / 2) * 1000UL;
    const char *const *given_values = choice->annotations->values;
    char units[3][UNITS_TEXT_SIZE];

    if (choice->is_native && !given_values[ANNOTATION_DRAIN_DELAY] && !given_values[ANNOTATION_DRAIN_MINIMUM] &&
        !given_values[ANNOTATION_DRAIN_TIMEOUT])
        return;
    if (given_values[ANNOTATION_DRAIN_TIMEOUT]) {
        timeout_ms = drain_of(choice, ANNOTATION_DRAIN_TIMEOUT, timeout_ms);
        delay_ms = MIN(delay_ms, timeout_ms);
        minimum_ms = MIN(minimum_ms, timeout_ms);
    }
    delay_ms = drain_of(choice, ANNOTATION_DRAIN_DELAY, delay_ms);
    minimum_ms = drain_of(choice, ANNOTATION_DRAIN_MINIMUM, minimum_ms);
    timeout_ms = MAX(timeout_ms, MAX(delay_ms, minimum_ms));
    units_format_duration(delay_ms, units[0]);
    units_format_duration(minimum_ms, units[1]);
    units_format_duration(timeout_ms, units[2]);
    strbuf_printf(text, "drain:\n  delay: %s\n  minimum: %s\n  timeout: %s\n", units[0], units[1], units[2]);
}

/*
 * A native sidecar is ended after the app; an ordinary one together with it: it goes on accepting for a while, since
 * endpoints are taken out everywhere only some seconds later, and stays for the app's own shutdown.
 */
struct value *part_generated_config(struct arena *arena, const struct part_choice *choice)
{
    struct value *config = NULL;
    struct strbuf text;

    strbuf_init(&text, 1024);
    strbuf_printf(&text, "version: 1\nlog: {level: %s}\n", given(choice, ANNOTATION_LOG_LEVEL, "info"));
    append_interception(choice, &text);
    append_drain(choice, &text);
    if (!strbuf_failed(&text))
        config = value_new_text(arena, text.text);
    strbuf_done(&text);
    return config;
}

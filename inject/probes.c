#include "inject/probes.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/macros.h"
#include "inject/json.h"
#include "inject/parts.h"

#define MOST_NAME 63 /* of a container: a DNS label (RFC 1123) */
#define MOST_PATH 2048

static const struct {
    const char *key, *name;
} kinds[] = {
    { "livenessProbe", "liveness" },
    { "readinessProbe", "readiness" },
    { "startupProbe", "startup" },
};

/* How Kubernetes asks, and what that is called in the proxy's configuration. `exec` is done in the container. */
static const struct {
    const char *key, *type;
} handlers[] = {
    { "httpGet", "http" },
    { "tcpSocket", "tcp" },
    { "grpc", "grpc" },
};

static const char *const lists[] = { "initContainers", "containers" };

struct rewriting {
    struct arena *arena;
    struct value *originals, *probes;
};

static int put_text(struct rewriting *rewriting, struct value *map, const char *key, const char *text)
{
    return text ? value_set(rewriting->arena, map, key, value_new_text(rewriting->arena, text)) : 0;
}

static int put_plain(struct rewriting *rewriting, struct value *map, const char *key, const char *text)
{
    return value_set(rewriting->arena, map, key, value_new_plain(rewriting->arena, text));
}

static bool is_label(const char *name)
{
    size_t length = strlen(name);

    return length > 0 && length <= MOST_NAME && strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-") == length;
}

/* 0: none. A name is one of the container's own ports, as it is for the kubelet. */
static unsigned port_of(const struct value *container, const char *text)
{
    const struct value *named = text ? value_find_named(value_get(container, "ports"), text) : NULL;
    char *end;
    unsigned long port;

    if (named)
        text = value_get_text(named, "containerPort");
    if (!text || strspn(text, "0123456789") == 0)
        return 0;
    port = strtoul(text, &end, 10);
    return *end == '\0' && port <= 65535 ? (unsigned)port : 0;
}

/* NULL where nothing, or null, is written. */
static const char *text_of(const struct value *map, const char *key)
{
    const struct value *value = value_get(map, key);

    return !value || value->kind != VALUE_SCALAR || value_is_null(value) ? NULL : value->text;
}

/* One line of at most `most` bytes, from `from` on. */
static bool is_line(const char *text, unsigned char from, size_t most)
{
    size_t length = 0;

    for (; text[length]; length++) {
        if ((unsigned char)text[length] < from || text[length] == 0x7f)
            return false;
    }
    return length <= most;
}

/* What the proxy's configuration allows; Kubernetes lets nothing else pass, either. */
static bool is_header(const struct value *header)
{
    const char *name = text_of(header, "name"), *text = text_of(header, "value");

    if (!name || name[0] == '\0' || strlen(name) > 256 || (text && !is_line(text, ' ', 4096)))
        return false;
    if (strcasecmp(name, "Connection") == 0 || strcasecmp(name, "Content-Length") == 0 ||
        strcasecmp(name, "Transfer-Encoding") == 0)
        return false;
    if (strcasecmp(name, "Host") == 0)
        return !text || is_line(text, ' ' + 1, 255);
    return strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!#$%&'*+-.^_`|~") ==
           strlen(name);
}

static bool are_headers(const struct value *list)
{
    if (list && list->kind == VALUE_LIST && list->count > 64)
        return false;
    for (size_t i = 0; list && list->kind == VALUE_LIST && i < list->count; i++) {
        if (!is_header(list->items[i]))
            return false;
    }
    return true;
}

/* Whether the proxy can ask like that. */
static bool can_ask(const struct value *handler)
{
    const char *host = text_of(handler, "host"), *service = text_of(handler, "service");

    return handler && handler->kind == VALUE_MAP && json_can_write(handler) && (!host || host[0] == '\0') &&
           (!service || is_line(service, ' ', 255)) && are_headers(value_get(handler, "httpHeaders"));
}

/* As a request has it: with its slash, and without what would end the line. Returns whether it fits. */
static bool escape_path(const char *path, char escaped[MOST_PATH + 1])
{
    size_t length = 0;

    if (path[0] != '/')
        escaped[length++] = '/';
    for (; *path; path++) {
        bool is_odd = (unsigned char)*path <= ' ' || *path == 0x7f;

        if (length + 3 > MOST_PATH)
            return false;
        length += (size_t)sprintf(escaped + length, is_odd ? "%%%02X" : "%c", (unsigned char)*path);
    }
    escaped[length] = '\0';
    return true;
}

/* The headers but for Host, which has a key of its own. */
static int put_headers(struct rewriting *rewriting, const struct value *given, struct value *probe)
{
    struct value *headers = value_new(rewriting->arena, VALUE_LIST);
    int r = headers ? 0 : -ENOMEM;

    for (size_t i = 0; r == 0 && given && given->kind == VALUE_LIST && i < given->count; i++) {
        const char *name = text_of(given->items[i], "name"), *text = text_of(given->items[i], "value");
        struct value *header;

        if (strcasecmp(name, "Host") == 0) {
            r = put_text(rewriting, probe, "host", text && text[0] != '\0' ? text : NULL);
            continue;
        }
        header = value_new(rewriting->arena, VALUE_MAP);
        r = header ? put_text(rewriting, header, "name", name) : -ENOMEM;
        if (r == 0)
            r = put_text(rewriting, header, "value", text ? text : "");
        if (r == 0)
            r = value_insert(rewriting->arena, headers, headers->count, header);
    }
    if (r == 0 && headers->count > 0)
        r = value_set(rewriting->arena, probe, "headers", headers);
    return r;
}

static int put_http(struct rewriting *rewriting, const struct value *handler, const char *path, struct value *probe)
{
    const char *scheme = text_of(handler, "scheme");
    int r = put_text(rewriting, probe, "path", path);

    if (r == 0 && scheme && strcasecmp(scheme, "HTTPS") == 0)
        r = put_plain(rewriting, probe, "scheme", "https");
    return r < 0 ? r : put_headers(rewriting, value_get(handler, "httpHeaders"), probe);
}

static int describe(struct rewriting *rewriting, const char *name, const char *type, const struct value *given,
                    const struct value *handler, unsigned port, const char *path)
{
    struct value *probe = value_new(rewriting->arena, VALUE_MAP);
    const char *seconds = text_of(given, "timeoutSeconds"), *service = text_of(handler, "service");
    unsigned long timeout_s = seconds ? strtoul(seconds, NULL, 10) : 1;
    char number[32];
    int r = probe ? put_text(rewriting, probe, "name", name) : -ENOMEM;

    if (r == 0)
        r = put_plain(rewriting, probe, "type", type);
    snprintf(number, sizeof number, "%u", port);
    if (r == 0)
        r = put_plain(rewriting, probe, "port", number);
    snprintf(number, sizeof number, "%lus", MIN(MAX(timeout_s, 1UL), 3600UL));
    if (r == 0)
        r = put_plain(rewriting, probe, "timeout", number);
    if (r == 0 && path)
        r = put_http(rewriting, handler, path, probe);
    if (r == 0 && strcmp(type, "grpc") == 0 && service && service[0] != '\0')
        r = put_text(rewriting, probe, "service", service);
    return r < 0 ? r : value_insert(rewriting->arena, rewriting->probes, rewriting->probes->count, probe);
}

/* What stands in the handler's place: its key, which goes on being where it was, and its value. */
static int replace(struct rewriting *rewriting, const char *name, struct value *given, const char *key,
                   struct value *handler)
{
    struct value *request = value_new(rewriting->arena, VALUE_MAP), *original = value_new(rewriting->arena, VALUE_MAP);
    char path[MOST_PATH];
    int r = request && original ? 0 : -ENOMEM;

    snprintf(path, sizeof path, "/probe/%s", name);
    if (r == 0)
        r = put_text(rewriting, request, "path", path);
    if (r == 0)
        r = put_plain(rewriting, request, "port", "15021");
    if (r == 0)
        r = value_set(rewriting->arena, original, key, handler);
    if (r == 0)
        r = value_set(rewriting->arena, rewriting->originals, name, original);
    if (r == 0)
        value_replace(given, key, value_new_plain(rewriting->arena, "httpGet"), request);
    return r;
}

/* A probe that names another host is not for this pod; one that cannot be understood, or asks the proxy, is left to
 * the kubelet. */
static int rewrite_one(struct rewriting *rewriting, const struct value *container, struct value *given, size_t kind,
                       size_t type)
{
    struct value *handler = value_get(given, handlers[type].key);
    const char *path = text_of(handler, "path");
    unsigned port = port_of(container, value_get_text(handler, "port"));
    char name[MOST_NAME + 32], escaped[MOST_PATH + 1];
    bool is_http = type == 0;
    int r;

    snprintf(name, sizeof name, "%.63s/%s", value_get_text(container, "name"), kinds[kind].name);
    if (!can_ask(handler) || port == 0 || part_is_proxy_port(port) || value_get(rewriting->originals, name) ||
        (is_http && !escape_path(path ? path : "/", escaped)))
        return 0;
    r = describe(rewriting, name, handlers[type].type, given, handler, port, is_http ? escaped : NULL);
    return r < 0 ? r : replace(rewriting, name, given, handlers[type].key, handler);
}

static int rewrite_container(struct rewriting *rewriting, struct value *container)
{
    const char *name = value_get_text(container, "name");
    int r = 0;

    for (size_t kind = 0; name && is_label(name) && r == 0 && kind < ARRAY_SIZE(kinds); kind++) {
        struct value *given = value_get(container, kinds[kind].key);

        for (size_t type = 0; r == 0 && type < ARRAY_SIZE(handlers); type++)
            r = rewrite_one(rewriting, container, given, kind, type);
    }
    return r;
}

int probes_rewrite(struct arena *arena, struct value *spec, struct value **ret_originals, struct value **ret_probes)
{
    struct rewriting rewriting = { arena, value_new(arena, VALUE_MAP), value_new(arena, VALUE_LIST) };
    int r = rewriting.originals && rewriting.probes ? 0 : -ENOMEM;

    for (size_t i = 0; i < ARRAY_SIZE(lists); i++) {
        const struct value *list = value_get(spec, lists[i]);

        for (size_t j = 0; r == 0 && list && list->kind == VALUE_LIST && j < list->count; j++)
            r = rewrite_container(&rewriting, list->items[j]);
    }
    *ret_originals = rewriting.originals;
    *ret_probes = value_new(arena, VALUE_MAP);
    return r == 0 && *ret_probes ? value_set(arena, *ret_probes, "probes", rewriting.probes) : -ENOMEM;
}

/* Keys came back with quotes; words that can only be words need none. */
static void take_quotes(struct value *value)
{
    for (size_t i = 0; i < value->count; i++) {
        const char *key = value->kind == VALUE_MAP ? value->keys[i]->text : "";
        size_t letters = strspn(key, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ");

        if (letters >= 4 && key[letters] == '\0' && strcasecmp(key, "true") != 0 && strcasecmp(key, "false") != 0 &&
            strcasecmp(key, "null") != 0)
            value->keys[i]->style = VALUE_PLAIN;
        take_quotes(value->items[i]);
    }
}

static void restore_one(struct value *container, const char *name, const struct value *original)
{
    for (size_t kind = 0; kind < ARRAY_SIZE(kinds); kind++) {
        struct value *given = value_get(container, kinds[kind].key);
        const char *path = value_get_text(value_get(given, "httpGet"), "path");

        if (strcmp(name, kinds[kind].name) == 0 && path && strncmp(path, "/probe/", 7) == 0)
            value_replace(given, "httpGet", original->keys[0], original->items[0]);
    }
}

void probes_restore(struct value *spec, struct value *originals)
{
    if (originals)
        take_quotes(originals);
    for (size_t i = 0; originals && originals->kind == VALUE_MAP && i < originals->count; i++) {
        const char *whole = originals->keys[i]->text, *slash = strchr(whole, '/');
        const struct value *original = originals->items[i];

        if (!slash || original->kind != VALUE_MAP || original->count != 1)
            continue;
        for (size_t j = 0; j < ARRAY_SIZE(lists); j++) {
            const struct value *list = value_get(spec, lists[j]);

            for (size_t k = 0; list && list->kind == VALUE_LIST && k < list->count; k++) {
                const char *name = value_get_text(list->items[k], "name");

                if (name && strlen(name) == (size_t)(slash - whole) && strncmp(name, whole, strlen(name)) == 0)
                    restore_one(list->items[k], slash + 1, original);
            }
        }
    }
}

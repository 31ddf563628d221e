#include "proxy/config/decode.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/macros.h"
#include "base/suggest.h"
#include "proxy/config/schema.h"
#include "proxy/config/value.h"
#include "proxy/config/value_list.h"

#define MOST_KEYS 32

struct decode {
    struct arena *arena;
    struct report *report;
    struct strbuf path;
    const struct node *defaults; /* of the document; NULL without */
    bool muted;                  /* applying `defaults` again: its mistakes are known */
};

static void complain(struct decode *decode, const struct node *node, const char *problem)
{
    if (!decode->muted)
        report_add(decode->report, node->line, node->column, decode->path.text, "%s", problem);
}

/* Appends `.key` to the path; returns the length to go back to. */
static size_t enter_key(struct decode *decode, const char *key)
{
    size_t before = decode->path.length;

    strbuf_printf(&decode->path, before > 0 ? ".%.64s" : "%.64s", key);
    return before;
}

static size_t enter_index(struct decode *decode, size_t index)
{
    size_t before = decode->path.length;

    strbuf_printf(&decode->path, "[%zu]", index);
    return before;
}

static void leave(struct decode *decode, size_t before)
{
    decode->path.length = before;
    decode->path.text[before] = '\0';
}

static int init_section(struct decode *decode, const struct section *section, void *base, bool original_destination);
static int begin_cluster(struct decode *decode, const struct section *section, struct cluster_config *cluster,
                         enum discovery discovery);

static int init_field(struct decode *decode, const struct field *field, void *base, bool original_destination)
{
    void *at = (char *)base + field->offset;
    uint64_t value;

    switch (field->type) {
    case FIELD_SECTION:
        if (field->section == &schema_defaults)
            return 0;
        if (field->section->is_cluster)
            return begin_cluster(decode, field->section, at, (enum discovery)field->section->default_discovery);
        return init_section(decode, field->section, at, original_destination);
    case FIELD_NUMBER:
    case FIELD_DURATION:
    case FIELD_SIZE:
    case FIELD_PERCENT:
    case FIELD_BOOL:
    case FIELD_ENUM:
    case FIELD_FLAGS:
        value = original_destination && field->has_def_original_destination ? field->def_original_destination
                                                                            : field->def;
        memcpy(at, &value, sizeof value);
        return 0;
    case FIELD_NAME:
    case FIELD_PATH:
    case FIELD_TRUST_DOMAIN:
    case FIELD_TEXT:
    case FIELD_UIDS:
        return field->def_text ? value_set_default(field, decode->arena, at) : 0;
    default:
        return 0;
    }
}

static int init_section(struct decode *decode, const struct section *section, void *base, bool original_destination)
{
    for (size_t i = 0; i < section->count; i++) {
        int r = init_field(decode, &section->fields[i], base, original_destination);

        if (r < 0)
            return r;
    }
    return 0;
}

static int decode_section(struct decode *decode, const struct section *section, const struct node *node, void *base);

/* A cluster begins with the defaults of its kind, then the document's `defaults`; its own keys follow. */
static int begin_cluster(struct decode *decode, const struct section *section, struct cluster_config *cluster,
                         enum discovery discovery)
{
    int r = init_section(decode, section, cluster, discovery == DISCOVERY_ORIGINAL_DESTINATION);

    cluster->discovery = discovery;
    if (section->is_inbound)
        cluster->circuit_breaker.max_connections = CONFIG_UNLIMITED;
    if (r < 0 || !decode->defaults)
        return r;
    decode->muted = true;
    r = decode_section(decode, &schema_defaults, decode->defaults, cluster);
    decode->muted = false;
    /* The app beside the proxy is no sidecar, and nothing is known of an original destination. */
    if (section->is_inbound || (discovery == DISCOVERY_ORIGINAL_DESTINATION && cluster->tls.mode == UPSTREAM_TLS_AUTO))
        cluster->tls.mode = UPSTREAM_TLS_DISABLED;
    return r;
}

static enum discovery discovery_of(const struct section *section, const struct node *node)
{
    const struct node *discovery = node_get(node, "discovery");

    if (discovery && discovery->kind == NODE_SCALAR)
        return strcmp(discovery->text, "original_destination") == 0 ? DISCOVERY_ORIGINAL_DESTINATION
               : strcmp(discovery->text, "dns") == 0                ? DISCOVERY_DNS
                                                                    : DISCOVERY_STATIC;
    if (node_get(node, "endpoints"))
        return DISCOVERY_STATIC;
    return (enum discovery)section->default_discovery;
}

static int begin_struct(struct decode *decode, const struct section *section, const struct node *node, void *base)
{
    if (section->is_cluster)
        return begin_cluster(decode, section, base, discovery_of(section, node));
    return init_section(decode, section, base, false);
}

static int decode_list(struct decode *decode, const struct field *field, const struct node *node, void *at)
{
    char *items;
    size_t index = 0;

    if (node->kind != NODE_SEQUENCE) {
        char problem[96];

        snprintf(problem, sizeof problem, "expected a list, found %s", node_kind_name(node));
        complain(decode, node, problem);
        return 0;
    }
    if (node->count > field->max) {
        char problem[96];

        snprintf(problem, sizeof problem, "%zu entries; at most %" PRIu64 " are allowed", node->count, field->max);
        complain(decode, node, problem);
        return 0;
    }
    items = arena_alloc(decode->arena, node->count * field->section->size);
    if (!items)
        return -ENOMEM;
    for (const struct node_entry *entry = node->entries; entry; entry = entry->next, index++) {
        void *item = items + index * field->section->size;
        size_t before = enter_index(decode, index);
        int r = begin_struct(decode, field->section, entry->value, item);

        if (r == 0)
            r = decode_section(decode, field->section, entry->value, item);
        leave(decode, before);
        if (r < 0)
            return r;
    }
    value_list_set(at, items, node->count);
    return 0;
}

static int decode_field(struct decode *decode, const struct field *field, const struct node *node, void *base)
{
    void *at = (char *)base + field->offset;
    char problem[VALUE_PROBLEM_SIZE];
    int r;

    if (node_is_empty(node) && field->type != FIELD_SECTION) {
        if (field->presence == PRESENCE_REQUIRED)
            complain(decode, node, "a value is missing");
        return 0; /* nothing is written: the default */
    }
    if (field->type == FIELD_SECTION) {
        if (field->presence == PRESENCE_SWITCH) {
            uint64_t present = 1;

            memcpy(at, &present, sizeof present);
        }
        if (field->section == &schema_defaults) {
            struct cluster_config checked = { 0 }; /* its values are applied to each cluster */

            return decode_section(decode, field->section, node, &checked);
        }
        if (field->section->is_cluster) {
            r = begin_struct(decode, field->section, node, at);
            if (r < 0)
                return r;
        }
        return decode_section(decode, field->section, node, at);
    }
    if (field->type == FIELD_LIST)
        return decode_list(decode, field, node, at);
    r = value_parse(field, node, decode->arena, at, problem);
    if (r == -EINVAL) {
        complain(decode, node, problem);
        return 0;
    }
    return r;
}

static void complain_unknown(struct decode *decode, const struct section *section, const struct node *key)
{
    const char *keys[MOST_KEYS];
    size_t count = MIN(section->count, (size_t)MOST_KEYS);
    struct strbuf text;
    int nearest;

    for (size_t i = 0; i < count; i++)
        keys[i] = section->fields[i].key;
    nearest = suggest_nearest(key->text, keys, count);
    strbuf_init(&text, 2048);
    strbuf_printf(&text, "unknown key \"%.64s\"", key->text);
    if (nearest >= 0)
        strbuf_printf(&text, "; did you mean \"%s\"?", keys[nearest]);
    else {
        strbuf_append(&text, "; allowed: ");
        for (size_t i = 0; i < count; i++)
            strbuf_printf(&text, "%s%s", i > 0 ? ", " : "", keys[i]);
    }
    complain(decode, key, text.text);
    strbuf_done(&text);
}

/* The row for `key`, or NULL. */
static const struct field *find_field(const struct section *section, const struct node *key)
{
    for (size_t i = 0; i < section->count; i++) {
        if (strcmp(section->fields[i].key, key->text) == 0)
            return &section->fields[i];
    }
    return NULL;
}

static void check_keys(struct decode *decode, const struct section *section, const struct node *node)
{
    bool seen[MOST_KEYS] = { false };

    for (const struct node_entry *entry = node->entries; entry; entry = entry->next) {
        const struct field *field;

        if (entry->key->kind != NODE_SCALAR) {
            complain(decode, entry->key, "a key is a plain word");
            continue;
        }
        field = find_field(section, entry->key);
        if (!field)
            complain_unknown(decode, section, entry->key);
        else if (seen[field - section->fields]) {
            size_t before = enter_key(decode, field->key);

            complain(decode, entry->key, "the key is written twice");
            leave(decode, before);
        } else
            seen[field - section->fields] = true;
    }
    for (size_t i = 0; i < section->count; i++) {
        if (section->fields[i].presence == PRESENCE_REQUIRED && !seen[i]) {
            char problem[96];

            snprintf(problem, sizeof problem, "the key \"%s\" is missing", section->fields[i].key);
            complain(decode, node, problem);
        }
    }
}

/* Decodes in the order of the rows, not of the file. */
static int decode_section(struct decode *decode, const struct section *section, const struct node *node, void *base)
{
    if (node->kind != NODE_MAPPING && !node_is_empty(node)) {
        char problem[96];

        snprintf(problem, sizeof problem, "expected a mapping, found %s", node_kind_name(node));
        complain(decode, node, problem);
        return 0;
    }
    check_keys(decode, section, node);
    for (size_t i = 0; i < section->count; i++) {
        const struct node *value = node_get(node, section->fields[i].key);
        size_t before;
        int r;

        if (!value)
            continue;
        before = enter_key(decode, section->fields[i].key);
        r = decode_field(decode, &section->fields[i], value, base);
        leave(decode, before);
        if (r < 0)
            return r;
    }
    return 0;
}

/* A cluster that exists without being written. */
static int make_built_in(struct decode *decode, const char *name, struct cluster_config *cluster)
{
    cluster->name = name;
    return begin_cluster(decode, &schema_defaults, cluster, DISCOVERY_ORIGINAL_DESTINATION);
}

static int name_inbound_clusters(struct decode *decode, struct intercept_config *intercept)
{
    for (size_t i = 0; i < intercept->inbound.ports.count; i++) {
        struct inbound_port_config *entry = &intercept->inbound.ports.items[i];
        char name[32], range[PORT_RANGE_TEXT_SIZE];

        if (entry->ports.count == 0)
            continue; /* reported */
        snprintf(name, sizeof name, "inbound:%s", port_range_format(entry->ports.items[0], range));
        entry->cluster.name = arena_copy_text(decode->arena, name, strlen(name));
        if (!entry->cluster.name)
            return -ENOMEM;
    }
    return 0;
}

/* Kept as it was written: its values under original_destination are not the struct's. */
static int keep_defaults(struct decode *decode, struct config *config)
{
    struct strbuf text;

    if (!decode->defaults || node_is_empty(decode->defaults))
        return 0;
    strbuf_init(&text, NODE_MOST_BYTES * 8);
    node_write(decode->defaults, &text);
    if (!strbuf_failed(&text))
        config->defaults_text = arena_copy_text(decode->arena, text.text, text.length);
    strbuf_done(&text);
    return config->defaults_text ? 0 : -ENOMEM;
}

/* What holds for the clients of each inbound cluster; nobody can speak TLS to who has no identity. */
static void resolve_clients(struct config *config)
{
    struct inbound_tls_config inherited = config->intercept.inbound.tls;

    if (inherited.mode == INBOUND_TLS_PERMISSIVE && !config->identity.present)
        inherited.mode = INBOUND_TLS_DISABLED;
    config->inbound.client_tls = inherited;
    config->inbound.tls.mode = UPSTREAM_TLS_DISABLED;
    for (size_t i = 0; i < config->intercept.inbound.ports.count; i++) {
        struct inbound_port_config *entry = &config->intercept.inbound.ports.items[i];
        struct inbound_tls_config *own = &entry->cluster.client_tls;

        entry->cluster.client_limits = entry->limits;
        *own = inherited;
        if (entry->tls.mode != INBOUND_TLS_INHERIT)
            own->mode = entry->tls.mode;
        if (entry->tls.detect_ms != CONFIG_AUTO)
            own->detect_ms = entry->tls.detect_ms;
        if (own->mode == INBOUND_TLS_PERMISSIVE && !config->identity.present)
            own->mode = INBOUND_TLS_DISABLED;
    }
}

static const struct node empty_document = { .kind = NODE_SCALAR, .plain = true, .text = "", .line = 1, .column = 1 };

int config_decode_section(const struct section *section, const struct node *root, struct arena *arena, void *base,
                          struct report *report)
{
    struct decode decode = { .arena = arena, .report = report };
    int r;

    strbuf_init(&decode.path, 4096);
    r = init_section(&decode, section, base, false);
    if (r == 0)
        r = decode_section(&decode, section, root ? root : &empty_document, base);
    strbuf_done(&decode.path);
    return r;
}

int config_decode(const struct node *root, struct config *config, struct report *report)
{
    struct decode decode = { .arena = &config->arena, .report = report };
    int r;

    strbuf_init(&decode.path, 4096);
    decode.defaults = node_get(root, "defaults");
    r = init_section(&decode, &schema_root, config, false);
    if (r == 0)
        r = decode_section(&decode, &schema_root, root ? root : &empty_document, config);
    if (r == 0)
        r = keep_defaults(&decode, config);
    if (r == 0)
        r = make_built_in(&decode, "inbound", &config->inbound);
    if (r == 0)
        r = make_built_in(&decode, "passthrough", &config->passthrough);
    if (r == 0)
        r = name_inbound_clusters(&decode, &config->intercept);
    if (r == 0)
        resolve_clients(config);
    strbuf_done(&decode.path);
    return r;
}

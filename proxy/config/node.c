#include "proxy/config/node.h"

#include <errno.h>
#include <string.h>
#include <yaml.h>

struct anchor {
    struct anchor *next;
    const char *name;
    struct node *node;
};

struct build {
    yaml_parser_t parser;
    struct arena *arena;
    struct report *report;
    struct anchor *anchors;
    size_t nodes, aliases;
    unsigned open_anchors; /* anchored nodes around the current one */
    bool documents_done;
};

static int fail_at(struct build *build, yaml_mark_t mark, const char *problem)
{
    report_add(build->report, (unsigned)mark.line + 1, (unsigned)mark.column + 1, "", "%s", problem);
    return -EINVAL;
}

static int next_event(struct build *build, yaml_event_t *event)
{
    yaml_mark_t mark;

    if (yaml_parser_parse(&build->parser, event))
        return 0;
    if (build->parser.error == YAML_MEMORY_ERROR)
        return -ENOMEM;
    mark = build->parser.problem_mark;
    if (build->parser.error == YAML_READER_ERROR) {
        report_add(build->report, 0, 0, "", "not UTF-8 text: %s at byte %zu", build->parser.problem,
                   build->parser.problem_offset);
        return -EINVAL;
    }
    report_add(build->report, (unsigned)mark.line + 1, (unsigned)mark.column + 1, "", "not YAML: %s%s%s",
               build->parser.context ? build->parser.context : "", build->parser.context ? ": " : "",
               build->parser.problem ? build->parser.problem : "syntax error");
    return -EINVAL;
}

static struct node *new_node(struct build *build, enum node_kind kind, yaml_mark_t mark)
{
    struct node *node = arena_alloc(build->arena, sizeof *node);

    if (node) {
        node->kind = kind;
        node->line = (unsigned)mark.line + 1;
        node->column = (unsigned)mark.column + 1;
    }
    return node;
}

static int remember_anchor(struct build *build, const yaml_char_t *name, struct node *node)
{
    struct anchor *anchor;

    if (!name)
        return 0;
    anchor = arena_alloc(build->arena, sizeof *anchor);
    if (!anchor)
        return -ENOMEM;
    anchor->name = arena_copy_text(build->arena, (const char *)name, strlen((const char *)name));
    if (!anchor->name)
        return -ENOMEM;
    anchor->node = node;
    anchor->next = build->anchors;
    build->anchors = anchor;
    return 0;
}

/* An alias stands for the anchored node itself. None is allowed inside an anchored node, so the tree grows linearly. */
static int resolve_alias(struct build *build, const yaml_event_t *event, struct node **ret_node)
{
    const char *name = (const char *)event->data.alias.anchor;

    if (++build->aliases > NODE_MOST_ALIASES)
        return fail_at(build, event->start_mark, "too many aliases; at most 64 are allowed");
    if (build->open_anchors > 0)
        return fail_at(build, event->start_mark, "an alias inside an anchored value is not allowed");
    for (struct anchor *anchor = build->anchors; anchor; anchor = anchor->next) {
        if (strcmp(anchor->name, name) == 0) {
            *ret_node = anchor->node;
            return 0;
        }
    }
    return fail_at(build, event->start_mark, "an alias without its anchor");
}

static int build_node(struct build *build, const yaml_event_t *event, unsigned depth, struct node **ret_node);

/* Reads entries up to the collection's end. In a mapping every second node is a value. */
static int build_collection(struct build *build, struct node *node, yaml_event_type_t end, unsigned depth)
{
    struct node_entry **tail = &node->entries, *entry = NULL;
    yaml_event_t event;
    int r;

    for (;;) {
        struct node *child;

        r = next_event(build, &event);
        if (r < 0)
            return r;
        if (event.type == end) {
            yaml_event_delete(&event);
            return 0;
        }
        r = build_node(build, &event, depth + 1, &child);
        yaml_event_delete(&event);
        if (r < 0)
            return r;
        if (node->kind == NODE_MAPPING && entry && !entry->value) {
            entry->value = child;
            continue;
        }
        entry = arena_alloc(build->arena, sizeof *entry);
        if (!entry)
            return -ENOMEM;
        if (node->kind == NODE_MAPPING)
            entry->key = child;
        else
            entry->value = child;
        *tail = entry;
        tail = &entry->next;
        node->count++;
    }
}

static int build_scalar(struct build *build, const yaml_event_t *event, struct node *node)
{
    const char *value = (const char *)event->data.scalar.value;

    if (memchr(value, '\0', event->data.scalar.length))
        return fail_at(build, event->start_mark, "a value must not contain a NUL character");
    node->text = arena_copy_text(build->arena, value, event->data.scalar.length);
    if (!node->text)
        return -ENOMEM;
    node->plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    return 0;
}

static int build_node(struct build *build, const yaml_event_t *event, unsigned depth, struct node **ret_node)
{
    const yaml_char_t *anchor = NULL;
    struct node *node;
    int r = 0;

    if (depth > NODE_MOST_DEPTH)
        return fail_at(build, event->start_mark, "nested too deeply; at most 32 levels are allowed");
    if (++build->nodes > NODE_MOST_NODES)
        return fail_at(build, event->start_mark, "too many values; at most 2000000 are allowed");
    if (event->type == YAML_ALIAS_EVENT)
        return resolve_alias(build, event, ret_node);
    if (event->type == YAML_SCALAR_EVENT)
        anchor = event->data.scalar.anchor;
    else if (event->type == YAML_MAPPING_START_EVENT)
        anchor = event->data.mapping_start.anchor;
    else
        anchor = event->data.sequence_start.anchor;

    node = new_node(build,
                    event->type == YAML_SCALAR_EVENT          ? NODE_SCALAR
                    : event->type == YAML_MAPPING_START_EVENT ? NODE_MAPPING
                                                              : NODE_SEQUENCE,
                    event->start_mark);
    if (!node)
        return -ENOMEM;
    build->open_anchors += anchor != NULL;
    if (node->kind == NODE_SCALAR)
        r = build_scalar(build, event, node);
    else
        r = build_collection(build, node, node->kind == NODE_MAPPING ? YAML_MAPPING_END_EVENT : YAML_SEQUENCE_END_EVENT,
                             depth);
    build->open_anchors -= anchor != NULL;
    if (r < 0)
        return r;
    *ret_node = node;
    return remember_anchor(build, anchor, node);
}

static int build_stream(struct build *build, struct node **ret_root)
{
    yaml_event_t event;
    int r = 0;

    for (;;) {
        yaml_event_type_t type;

        r = next_event(build, &event);
        if (r < 0)
            return r;
        type = event.type;
        if (type == YAML_DOCUMENT_START_EVENT && build->documents_done)
            r = fail_at(build, event.start_mark, "a second document; the configuration is one document");
        else if (type == YAML_DOCUMENT_END_EVENT)
            build->documents_done = true;
        else if (type == YAML_SCALAR_EVENT || type == YAML_MAPPING_START_EVENT || type == YAML_SEQUENCE_START_EVENT ||
                 type == YAML_ALIAS_EVENT)
            r = build_node(build, &event, 1, ret_root);
        yaml_event_delete(&event);
        if (r < 0 || type == YAML_STREAM_END_EVENT)
            return r;
    }
}

int node_parse(const char *text, size_t length, struct arena *arena, struct report *report, struct node **ret_root)
{
    struct build build = { .arena = arena, .report = report };
    struct node *root = NULL;
    int r;

    if (length > NODE_MOST_BYTES) {
        report_add(report, 0, 0, "", "larger than 16 MiB");
        return -EINVAL;
    }
    if (!yaml_parser_initialize(&build.parser))
        return -ENOMEM;
    yaml_parser_set_input_string(&build.parser, (const unsigned char *)text, length);
    r = build_stream(&build, &root);
    yaml_parser_delete(&build.parser);
    if (r < 0)
        return r;
    *ret_root = root;
    return 0;
}

struct node *node_get(const struct node *mapping, const char *key)
{
    if (!mapping || mapping->kind != NODE_MAPPING)
        return NULL;
    for (const struct node_entry *entry = mapping->entries; entry; entry = entry->next) {
        if (entry->key->kind == NODE_SCALAR && strcmp(entry->key->text, key) == 0)
            return entry->value;
    }
    return NULL;
}

struct node *node_item(const struct node *sequence, size_t index)
{
    if (!sequence || sequence->kind != NODE_SEQUENCE)
        return NULL;
    for (const struct node_entry *entry = sequence->entries; entry; entry = entry->next) {
        if (index-- == 0)
            return entry->value;
    }
    return NULL;
}

bool node_is_empty(const struct node *node)
{
    return node->kind == NODE_SCALAR && node->plain &&
           (node->text[0] == '\0' || strcmp(node->text, "~") == 0 || strcmp(node->text, "null") == 0);
}

const char *node_kind_name(const struct node *node)
{
    switch (node->kind) {
    case NODE_MAPPING:
        return "a mapping";
    case NODE_SEQUENCE:
        return "a list";
    default:
        return "a value";
    }
}

void node_write_quoted(const char *value, struct strbuf *text)
{
    strbuf_append(text, "\"");
    for (const char *c = value; *c; c++) {
        if (*c == '"' || *c == '\\')
            strbuf_printf(text, "\\%c", *c);
        else if ((unsigned char)*c < 0x20 || *c == 0x7f)
            strbuf_printf(text, "\\x%02x", *c);
        else
            strbuf_append_bytes(text, c, 1);
    }
    strbuf_append(text, "\"");
}

void node_write(const struct node *node, struct strbuf *text)
{
    const char *separator = "";

    if (node->kind == NODE_SCALAR) {
        if (node_is_empty(node))
            strbuf_append(text, "null");
        else
            node_write_quoted(node->text, text);
        return;
    }
    strbuf_append(text, node->kind == NODE_MAPPING ? "{" : "[");
    for (const struct node_entry *entry = node->entries; entry; entry = entry->next) {
        strbuf_append(text, separator);
        separator = ", ";
        if (entry->key) {
            node_write(entry->key, text);
            strbuf_append(text, ": ");
        }
        node_write(entry->value, text);
    }
    strbuf_append(text, node->kind == NODE_MAPPING ? "}" : "]");
}

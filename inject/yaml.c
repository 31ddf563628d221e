#include "inject/yaml.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <yaml.h>

#include "base/macros.h"

#define STRING_TAG "tag:yaml.org,2002:str"
#define MAP_TAG    "tag:yaml.org,2002:map"
#define LIST_TAG   "tag:yaml.org,2002:seq"
#define LINE_WIDTH 200

struct reader {
    struct arena *arena;
    yaml_document_t *document;
    size_t nodes;
    const char *problem;
    yaml_mark_t mark;
};

static const struct {
    yaml_scalar_style_t theirs;
    enum value_style ours;
} styles[] = {
    { YAML_PLAIN_SCALAR_STYLE, VALUE_PLAIN },
    { YAML_SINGLE_QUOTED_SCALAR_STYLE, VALUE_SINGLE_QUOTED },
    { YAML_DOUBLE_QUOTED_SCALAR_STYLE, VALUE_DOUBLE_QUOTED },
    { YAML_LITERAL_SCALAR_STYLE, VALUE_LITERAL },
    { YAML_FOLDED_SCALAR_STYLE, VALUE_FOLDED },
};

static int complain(struct reader *reader, const yaml_node_t *node, const char *problem)
{
    reader->problem = problem;
    reader->mark = node->start_mark;
    return -EINVAL;
}

/* The loader gives every node a tag; one that was written is another one than its kind's. */
static int copy_tag(struct reader *reader, const yaml_node_t *node, const char *usual, struct value *value)
{
    if (!node->tag || strcmp((const char *)node->tag, usual) == 0)
        return 0;
    value->tag = arena_copy_text(reader->arena, (const char *)node->tag, strlen((const char *)node->tag));
    return value->tag ? 0 : -ENOMEM;
}

static int read_scalar(struct reader *reader, const yaml_node_t *node, struct value *value)
{
    if (memchr(node->data.scalar.value, '\0', node->data.scalar.length))
        return complain(reader, node, "a NUL byte in a text");
    value->text = arena_copy_text(reader->arena, (const char *)node->data.scalar.value, node->data.scalar.length);
    if (!value->text)
        return -ENOMEM;
    for (size_t i = 0; i < ARRAY_SIZE(styles); i++) {
        if (styles[i].theirs == node->data.scalar.style)
            value->style = styles[i].ours;
    }
    return copy_tag(reader, node, STRING_TAG, value);
}

static int read_node(struct reader *reader, int number, unsigned depth, struct value **ret_value);

static int read_map(struct reader *reader, const yaml_node_t *node, unsigned depth, struct value *map)
{
    const yaml_node_pair_t *pairs = node->data.mapping.pairs.start;
    size_t count = (size_t)(node->data.mapping.pairs.top - pairs);
    int r = copy_tag(reader, node, MAP_TAG, map);

    map->keys = arena_alloc(reader->arena, (count + 1) * sizeof *map->keys);
    map->items = arena_alloc(reader->arena, (count + 1) * sizeof *map->items);
    if (!map->keys || !map->items)
        return -ENOMEM;
    map->capacity = count + 1;
    for (size_t i = 0; r == 0 && i < count; i++) {
        r = read_node(reader, pairs[i].key, depth + 1, &map->keys[i]);
        if (r == 0)
            r = read_node(reader, pairs[i].value, depth + 1, &map->items[i]);
        map->count++;
    }
    return r;
}

static int read_list(struct reader *reader, const yaml_node_t *node, unsigned depth, struct value *list)
{
    const yaml_node_item_t *items = node->data.sequence.items.start;
    size_t count = (size_t)(node->data.sequence.items.top - items);
    int r = copy_tag(reader, node, LIST_TAG, list);

    list->items = arena_alloc(reader->arena, (count + 1) * sizeof *list->items);
    if (!list->items)
        return -ENOMEM;
    list->capacity = count + 1;
    for (size_t i = 0; r == 0 && i < count; i++) {
        r = read_node(reader, items[i], depth + 1, &list->items[i]);
        list->count++;
    }
    return r;
}

/* An alias is the node that it names: it is read again, so that changing one place changes no other. */
static int read_node(struct reader *reader, int number, unsigned depth, struct value **ret_value)
{
    static const enum value_kind kinds[] = {
        [YAML_SCALAR_NODE] = VALUE_SCALAR, [YAML_SEQUENCE_NODE] = VALUE_LIST, [YAML_MAPPING_NODE] = VALUE_MAP
    };
    const yaml_node_t *node = yaml_document_get_node(reader->document, number);

    if (depth > YAML_MOST_DEPTH)
        return complain(reader, node, "nested too deeply (more than 100 levels), or an alias inside of what it names");
    if (reader->nodes++ >= YAML_MOST_NODES)
        return complain(reader, node, "too large: more than 4000000 nodes, with those that aliases repeat");
    *ret_value = value_new(reader->arena, kinds[node->type]);
    if (!*ret_value)
        return -ENOMEM;
    if (node->type == YAML_SCALAR_NODE)
        return read_scalar(reader, node, *ret_value);
    return node->type == YAML_MAPPING_NODE ? read_map(reader, node, depth, *ret_value)
                                           : read_list(reader, node, depth, *ret_value);
}

static int append(struct arena *arena, struct yaml_documents *documents, struct value *document)
{
    size_t capacity = MAX(documents->capacity * 2, (size_t)8);
    struct value **items;

    if (documents->count == documents->capacity) {
        items = arena_alloc(arena, capacity * sizeof *items);
        if (!items)
            return -ENOMEM;
        if (documents->count > 0)
            memcpy(items, documents->items, documents->count * sizeof *items);
        documents->items = items;
        documents->capacity = capacity;
    }
    documents->items[documents->count++] = document;
    return 0;
}

static int tell(struct arena *arena, const char *problem, yaml_mark_t mark, const char **ret_problem)
{
    char text[512];

    snprintf(text, sizeof text, "%zu:%zu: %s", mark.line + 1, mark.column + 1, problem ? problem : "not YAML");
    *ret_problem = arena_copy_text(arena, text, strlen(text));
    return *ret_problem ? -EINVAL : -ENOMEM;
}

/* `---` with nothing behind it. */
static bool is_empty(const struct value *value)
{
    return value->kind == VALUE_SCALAR && value->style == VALUE_PLAIN && value->text[0] == '\0';
}

/* Returns 1 when there is no further document. */
static int read_document(yaml_parser_t *parser, struct reader *reader, struct yaml_documents *documents,
                         const char **ret_problem)
{
    struct value *value = NULL;
    yaml_document_t document;
    bool is_last;
    int r = 0;

    if (!yaml_parser_load(parser, &document))
        return parser->error == YAML_MEMORY_ERROR
                   ? -ENOMEM
                   : tell(reader->arena, parser->problem, parser->problem_mark, ret_problem);
    reader->document = &document;
    is_last = !yaml_document_get_root_node(&document);
    if (!is_last)
        r = read_node(reader, 1, 0, &value);
    yaml_document_delete(&document);
    if (r == -EINVAL)
        return tell(reader->arena, reader->problem, reader->mark, ret_problem);
    if (r == 0 && !is_last && !is_empty(value))
        r = append(reader->arena, documents, value);
    return r < 0 ? r : is_last;
}

int yaml_read(const char *text, size_t length, struct arena *arena, struct yaml_documents *ret_documents,
              const char **ret_problem)
{
    struct yaml_documents documents = { .count = 0 };
    struct reader reader = { .arena = arena };
    yaml_parser_t parser;
    int r;

    if (!yaml_parser_initialize(&parser))
        return -ENOMEM;
    yaml_parser_set_input_string(&parser, (const unsigned char *)text, length);
    do {
        r = read_document(&parser, &reader, &documents, ret_problem);
    } while (r == 0);
    yaml_parser_delete(&parser);
    if (r < 0)
        return r;
    *ret_documents = documents;
    return 0;
}

static int on_bytes(void *argument, unsigned char *bytes, size_t length)
{
    strbuf_append_bytes(argument, (const char *)bytes, length);
    return !strbuf_failed(argument);
}

static yaml_scalar_style_t their_style(const struct value *value)
{
    for (size_t i = 0; i < ARRAY_SIZE(styles); i++) {
        if (styles[i].ours == value->style)
            return styles[i].theirs;
    }
    return YAML_DOUBLE_QUOTED_SCALAR_STYLE;
}

/* A plain one that could not be read back as it is gets quotes: then it was a string. */
static bool emit_scalar(yaml_emitter_t *emitter, const struct value *value)
{
    bool is_plain = value->style == VALUE_PLAIN;
    yaml_event_t event;

    return yaml_scalar_event_initialize(&event, NULL, (const yaml_char_t *)value->tag, (const yaml_char_t *)value->text,
                                        (int)strlen(value->text), !value->tag && is_plain, !value->tag,
                                        their_style(value)) &&
           yaml_emitter_emit(emitter, &event);
}

static bool emit(yaml_emitter_t *emitter, const struct value *value)
{
    yaml_event_t event;

    if (value->kind == VALUE_SCALAR)
        return emit_scalar(emitter, value);
    if (!(value->kind == VALUE_MAP ? yaml_mapping_start_event_initialize(&event, NULL, (const yaml_char_t *)value->tag,
                                                                         !value->tag, YAML_BLOCK_MAPPING_STYLE)
                                   : yaml_sequence_start_event_initialize(&event, NULL, (const yaml_char_t *)value->tag,
                                                                          !value->tag, YAML_BLOCK_SEQUENCE_STYLE)) ||
        !yaml_emitter_emit(emitter, &event))
        return false;
    for (size_t i = 0; i < value->count; i++) {
        if ((value->kind == VALUE_MAP && !emit(emitter, value->keys[i])) || !emit(emitter, value->items[i]))
            return false;
    }
    return (value->kind == VALUE_MAP ? yaml_mapping_end_event_initialize(&event)
                                     : yaml_sequence_end_event_initialize(&event)) &&
           yaml_emitter_emit(emitter, &event);
}

static bool emit_document(yaml_emitter_t *emitter, const struct value *value, bool is_first)
{
    yaml_event_t event;

    return yaml_document_start_event_initialize(&event, NULL, NULL, NULL, is_first) &&
           yaml_emitter_emit(emitter, &event) && emit(emitter, value) &&
           yaml_document_end_event_initialize(&event, 1) && yaml_emitter_emit(emitter, &event);
}

int yaml_write(const struct yaml_documents *documents, struct strbuf *text)
{
    yaml_emitter_t emitter;
    yaml_event_t event;
    bool ok;

    if (!yaml_emitter_initialize(&emitter))
        return -ENOMEM;
    yaml_emitter_set_output(&emitter, on_bytes, text);
    yaml_emitter_set_unicode(&emitter, 1);
    yaml_emitter_set_width(&emitter, LINE_WIDTH);
    ok = yaml_stream_start_event_initialize(&event, YAML_UTF8_ENCODING) && yaml_emitter_emit(&emitter, &event);
    for (size_t i = 0; ok && i < documents->count; i++)
        ok = emit_document(&emitter, documents->items[i], i == 0);
    ok = ok && yaml_stream_end_event_initialize(&event) && yaml_emitter_emit(&emitter, &event);
    yaml_emitter_delete(&emitter);
    return ok && !strbuf_failed(text) ? 0 : -ENOMEM;
}

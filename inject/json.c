#include "inject/json.h"

#include <errno.h>
#include <jansson.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define MOST_BYTES (16UL * 1024 * 1024)
#define MOST_DEPTH 200
#define MOST_KEYS  100
#define DIGITS     "0123456789"

static bool has_duplicates(const struct value *map)
{
    for (size_t i = 0; i < map->count; i++) {
        for (size_t j = 0; j < i; j++) {
            if (strcmp(map->keys[i]->text, map->keys[j]->text) == 0)
                return true;
        }
    }
    return false;
}

bool json_can_write(const struct value *value)
{
    if (value->tag || value->count > MOST_KEYS || (value->kind == VALUE_MAP && has_duplicates(value)))
        return false;
    for (size_t i = 0; i < value->count; i++) {
        if (value->kind == VALUE_MAP && (value->keys[i]->kind != VALUE_SCALAR || value->keys[i]->tag))
            return false;
        if (!json_can_write(value->items[i]))
            return false;
    }
    return true;
}

/* RFC 8259, 6. */
static bool is_number(const char *text)
{
    size_t digits;

    text += *text == '-';
    digits = strspn(text, DIGITS);
    if (digits == 0 || (text[0] == '0' && digits > 1))
        return false;
    text += digits;
    if (*text == '.') {
        digits = strspn(text + 1, DIGITS);
        if (digits == 0)
            return false;
        text += 1 + digits;
    }
    if (*text == 'e' || *text == 'E') {
        text++;
        text += *text == '+' || *text == '-';
        digits = strspn(text, DIGITS);
        if (digits == 0)
            return false;
        text += digits;
    }
    return *text == '\0';
}

/* RFC 8259, 7. */
static void write_string(const char *string, struct strbuf *text)
{
    strbuf_append(text, "\"");
    for (; *string; string++) {
        if (*string == '"' || *string == '\\')
            strbuf_printf(text, "\\%c", *string);
        else if (*string == '\n')
            strbuf_append(text, "\\n");
        else if ((unsigned char)*string < ' ' || *string == 0x7f)
            strbuf_printf(text, "\\u%04x", (unsigned char)*string);
        else
            strbuf_append_bytes(text, string, 1);
    }
    strbuf_append(text, "\"");
}

bool json_is_literal(const struct value *value)
{
    const char *text = value->text;

    return value->kind == VALUE_SCALAR && value->style == VALUE_PLAIN &&
           (is_number(text) || strcmp(text, "true") == 0 || strcmp(text, "false") == 0 || strcmp(text, "null") == 0 ||
            strcmp(text, "~") == 0 || text[0] == '\0');
}

static void write_scalar(const struct value *value, struct strbuf *text)
{
    if (!json_is_literal(value))
        write_string(value->text, text);
    else
        strbuf_append(text, value->text[0] == '\0' || value->text[0] == '~' ? "null" : value->text);
}

void json_write(const struct value *value, struct strbuf *text)
{
    if (value->kind == VALUE_SCALAR) {
        write_scalar(value, text);
        return;
    }
    strbuf_append(text, value->kind == VALUE_MAP ? "{" : "[");
    for (size_t i = 0; i < value->count; i++) {
        if (i > 0)
            strbuf_append(text, ",");
        if (value->kind == VALUE_MAP) {
            write_string(value->keys[i]->text, text);
            strbuf_append(text, ":");
        }
        json_write(value->items[i], text);
    }
    strbuf_append(text, value->kind == VALUE_MAP ? "}" : "]");
}

const char *json_text(struct arena *arena, const struct value *value)
{
    const char *copy = NULL;
    struct strbuf text;

    strbuf_init(&text, MOST_BYTES);
    json_write(value, &text);
    if (!strbuf_failed(&text))
        copy = arena_copy_text(arena, text.text, text.length);
    strbuf_done(&text);
    return copy;
}

static int convert(struct arena *arena, const json_t *json, unsigned depth, struct value **ret_value);

/* No key is there twice: JSON_REJECT_DUPLICATES. */
static int convert_map(struct arena *arena, const json_t *json, unsigned depth, struct value *map)
{
    size_t size = json_object_size(json);
    const char *key;
    json_t *item;
    int r = 0;

    map->keys = arena_alloc(arena, (size + 1) * sizeof *map->keys);
    map->items = arena_alloc(arena, (size + 1) * sizeof *map->items);
    if (!map->keys || !map->items)
        return -ENOMEM;
    map->capacity = size + 1;
    /* jansson's macro wants what it may change; nothing is changed. */
    json_object_foreach((json_t *)(uintptr_t)json, key, item)
    {
        map->keys[map->count] = value_new_plain(arena, key);
        r = map->keys[map->count] ? convert(arena, item, depth + 1, &map->items[map->count]) : -ENOMEM;
        if (r < 0)
            break;
        map->count++;
    }
    return r;
}

static int convert_list(struct arena *arena, const json_t *json, unsigned depth, struct value *list)
{
    int r = 0;

    for (size_t i = 0; r == 0 && i < json_array_size(json); i++) {
        struct value *value;

        r = convert(arena, json_array_get(json, i), depth + 1, &value);
        if (r == 0)
            r = value_insert(arena, list, list->count, value);
    }
    return r;
}

static struct value *convert_scalar(struct arena *arena, const json_t *json)
{
    char number[64];

    switch (json_typeof(json)) {
    case JSON_STRING:
        return value_new_text(arena, json_string_value(json));
    case JSON_INTEGER:
        snprintf(number, sizeof number, "%" JSON_INTEGER_FORMAT, json_integer_value(json));
        return value_new_plain(arena, number);
    case JSON_REAL:
        snprintf(number, sizeof number, "%.17g", json_real_value(json));
        return value_new_plain(arena, number);
    case JSON_TRUE:
        return value_new_plain(arena, "true");
    case JSON_FALSE:
        return value_new_plain(arena, "false");
    default:
        return value_new_plain(arena, "null");
    }
}

/* Returns 0, -ENOMEM, or -EINVAL where it is nested too deeply. */
static int convert(struct arena *arena, const json_t *json, unsigned depth, struct value **ret_value)
{
    bool is_map = json_is_object(json), is_list = json_is_array(json);
    struct value *value;

    if (depth > MOST_DEPTH)
        return -EINVAL;
    value = is_map || is_list ? value_new(arena, is_map ? VALUE_MAP : VALUE_LIST) : convert_scalar(arena, json);
    *ret_value = value;
    if (!value)
        return -ENOMEM;
    if (is_map)
        return convert_map(arena, json, depth, value);
    return is_list ? convert_list(arena, json, depth, value) : 0;
}

int json_convert(struct arena *arena, const json_t *json, struct value **ret_value)
{
    return convert(arena, json, 0, ret_value);
}

int json_read(struct arena *arena, const char *text, struct value **ret_value)
{
    json_t *json = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
    int r = json ? json_convert(arena, json, ret_value) : -EINVAL;

    json_decref(json);
    return r;
}

#include "inject/value.h"

#include <errno.h>
#include <string.h>

#include "base/macros.h"

#define FIRST_CAPACITY 4

struct value *value_new(struct arena *arena, enum value_kind kind)
{
    struct value *value = arena_alloc(arena, sizeof *value);

    if (value) {
        value->kind = kind;
        value->text = "";
    }
    return value;
}

static struct value *new_scalar(struct arena *arena, const char *text, enum value_style style)
{
    struct value *value = value_new(arena, VALUE_SCALAR);

    if (!value)
        return NULL;
    value->style = style;
    value->text = arena_copy_text(arena, text, strlen(text));
    return value->text ? value : NULL;
}

struct value *value_new_text(struct arena *arena, const char *text)
{
    return new_scalar(arena, text, strchr(text, '\n') ? VALUE_LITERAL : VALUE_DOUBLE_QUOTED);
}

struct value *value_new_plain(struct arena *arena, const char *text)
{
    return new_scalar(arena, text, VALUE_PLAIN);
}

static bool find(const struct value *map, const char *key, size_t *ret_index)
{
    for (size_t i = 0; map && map->kind == VALUE_MAP && i < map->count; i++) {
        if (map->keys[i]->kind == VALUE_SCALAR && strcmp(map->keys[i]->text, key) == 0) {
            *ret_index = i;
            return true;
        }
    }
    return false;
}

struct value *value_get(const struct value *map, const char *key)
{
    size_t index;

    return find(map, key, &index) ? map->items[index] : NULL;
}

const char *value_get_text(const struct value *map, const char *key)
{
    const struct value *value = value_get(map, key);

    return value && value->kind == VALUE_SCALAR ? value->text : NULL;
}

/* Room for one more. What was there stays in the arena. */
static int grow(struct arena *arena, struct value *value)
{
    size_t capacity = MAX(value->capacity * 2, (size_t)FIRST_CAPACITY);
    struct value **items, **keys = NULL;

    if (value->count < value->capacity)
        return 0;
    items = arena_alloc(arena, capacity * sizeof *items);
    if (value->kind == VALUE_MAP)
        keys = arena_alloc(arena, capacity * sizeof *keys);
    if (!items || (value->kind == VALUE_MAP && !keys))
        return -ENOMEM;
    if (value->count > 0)
        memcpy(items, value->items, value->count * sizeof *items);
    if (keys && value->count > 0)
        memcpy(keys, value->keys, value->count * sizeof *keys);
    value->items = items;
    value->keys = keys;
    value->capacity = capacity;
    return 0;
}

bool value_is(const struct value *map, const char *key, const char *text)
{
    const char *found = value_get_text(map, key);

    return found && strcmp(found, text) == 0;
}

bool value_is_null(const struct value *value)
{
    return value->kind == VALUE_SCALAR && value->style == VALUE_PLAIN &&
           (value->text[0] == '\0' || strcmp(value->text, "~") == 0 || strcmp(value->text, "null") == 0);
}

int value_set(struct arena *arena, struct value *map, const char *key, struct value *value)
{
    struct value *name;
    size_t index;

    if (!value)
        return -ENOMEM;
    if (find(map, key, &index)) {
        map->items[index] = value;
        return 0;
    }
    name = value_new_plain(arena, key);
    if (!name || grow(arena, map) < 0)
        return -ENOMEM;
    map->keys[map->count] = name;
    map->items[map->count++] = value;
    return 0;
}

static void take_out(struct value *value, size_t index)
{
    size_t behind = value->count - index - 1;

    memmove(value->items + index, value->items + index + 1, behind * sizeof *value->items);
    if (value->keys)
        memmove(value->keys + index, value->keys + index + 1, behind * sizeof *value->keys);
    value->count--;
}

void value_replace(struct value *map, const char *key, struct value *new_key, struct value *value)
{
    size_t index;

    if (!new_key || !find(map, key, &index))
        return;
    map->keys[index] = new_key;
    map->items[index] = value;
}

bool value_remove(struct value *map, const char *key)
{
    bool was_there = false;
    size_t index;

    for (; find(map, key, &index); was_there = true)
        take_out(map, index);
    return was_there;
}

int value_insert(struct arena *arena, struct value *list, size_t index, struct value *item)
{
    if (!item || grow(arena, list) < 0)
        return -ENOMEM;
    memmove(list->items + index + 1, list->items + index, (list->count - index) * sizeof *list->items);
    list->items[index] = item;
    list->count++;
    return 0;
}

void value_remove_item(struct value *list, size_t index)
{
    take_out(list, index);
}

struct value *value_find_named(const struct value *list, const char *name)
{
    for (size_t i = 0; list && list->kind == VALUE_LIST && i < list->count; i++) {
        const char *text = value_get_text(list->items[i], "name");

        if (text && strcmp(text, name) == 0)
            return list->items[i];
    }
    return NULL;
}

static bool are_equal_texts(const char *one, const char *other)
{
    return one == other || (one && other && strcmp(one, other) == 0);
}

bool value_equals(const struct value *one, const struct value *other)
{
    if (one->kind != other->kind || one->count != other->count || !are_equal_texts(one->tag, other->tag))
        return false;
    if (one->kind == VALUE_SCALAR)
        return (one->style == VALUE_PLAIN) == (other->style == VALUE_PLAIN) && strcmp(one->text, other->text) == 0;
    for (size_t i = 0; i < one->count; i++) {
        if (!value_equals(one->items[i], other->items[i]) ||
            (one->kind == VALUE_MAP && !value_equals(one->keys[i], other->keys[i])))
            return false;
    }
    return true;
}

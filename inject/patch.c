#include "inject/patch.h"

#include <stdio.h>
#include <string.h>

#include "inject/json.h"

#define MOST_PATH (64 * 1024)
#define NEAR      16

/* A JSON Pointer (RFC 6901) that grows and shrinks. */
struct patch {
    struct strbuf *text;
    struct strbuf path;
    bool is_first, has_failed;
};

static void leave(struct patch *patch, size_t before)
{
    patch->path.length = before;
    patch->path.text[before] = '\0';
}

static size_t enter_key(struct patch *patch, const char *key)
{
    size_t before = patch->path.length;

    strbuf_append(&patch->path, "/");
    for (; *key; key++) {
        if (*key == '~')
            strbuf_append(&patch->path, "~0");
        else if (*key == '/')
            strbuf_append(&patch->path, "~1");
        else
            strbuf_append_bytes(&patch->path, key, 1);
    }
    return before;
}

static size_t enter_index(struct patch *patch, size_t index)
{
    size_t before = patch->path.length;

    strbuf_printf(&patch->path, "/%zu", index);
    return before;
}

/* `value`: NULL for remove. */
static void add_operation(struct patch *patch, const char *operation, const struct value *value)
{
    const struct value path = { .kind = VALUE_SCALAR, .style = VALUE_DOUBLE_QUOTED, .text = patch->path.text };

    patch->has_failed |= strbuf_failed(&patch->path);
    strbuf_printf(patch->text, "%s{\"op\":\"%s\",\"path\":", patch->is_first ? "" : ",", operation);
    json_write(&path, patch->text);
    if (value) {
        strbuf_append(patch->text, ",\"value\":");
        json_write(value, patch->text);
    }
    strbuf_append(patch->text, "}");
    patch->is_first = false;
}

static void compare(struct patch *patch, const struct value *before, const struct value *after);

/* One is a copy of the other with few changes: a key is where it was, or a little before. */
static const struct value *find_near(const struct value *map, const char *key, size_t index)
{
    size_t from = index > NEAR ? index - NEAR : 0;

    for (size_t i = from; i < map->count && i <= index + NEAR; i++) {
        if (strcmp(map->keys[i]->text, key) == 0)
            return map->items[i];
    }
    return value_get(map, key);
}

static void compare_maps(struct patch *patch, const struct value *before, const struct value *after)
{
    for (size_t i = 0; i < before->count; i++) {
        size_t length = enter_key(patch, before->keys[i]->text);

        if (!find_near(after, before->keys[i]->text, i))
            add_operation(patch, "remove", NULL);
        leave(patch, length);
    }
    for (size_t i = 0; i < after->count; i++) {
        const struct value *old = find_near(before, after->keys[i]->text, i);
        size_t length = enter_key(patch, after->keys[i]->text);

        if (old)
            compare(patch, old, after->items[i]);
        else
            add_operation(patch, "add", after->items[i]);
        leave(patch, length);
    }
}

static bool are_named(const struct value *list)
{
    for (size_t i = 0; i < list->count; i++) {
        if (!value_get_text(list->items[i], "name"))
            return false;
    }
    return true;
}

/* Whether an item with this one's name comes at `from` or later. */
static bool comes_later(const struct value *list, size_t from, const struct value *item)
{
    const char *name = value_get_text(item, "name");

    for (; from < list->count; from++) {
        if (strcmp(value_get_text(list->items[from], "name"), name) == 0)
            return true;
    }
    return false;
}

/* Before each step the list that is patched has after[0..j), then before[i..). */
static void compare_named(struct patch *patch, const struct value *before, const struct value *after)
{
    size_t i = 0, j = 0;

    while (i < before->count || j < after->count) {
        size_t length = enter_index(patch, j);

        if (i < before->count && j < after->count &&
            strcmp(value_get_text(before->items[i], "name"), value_get_text(after->items[j], "name")) == 0) {
            compare(patch, before->items[i++], after->items[j++]);
        } else if (i < before->count && !comes_later(after, j, before->items[i])) {
            add_operation(patch, "remove", NULL);
            i++;
        } else if (j < after->count) {
            add_operation(patch, "add", after->items[j++]);
        }
        leave(patch, length);
    }
}

static void compare(struct patch *patch, const struct value *before, const struct value *after)
{
    if (before->kind == VALUE_SCALAR && after->kind == VALUE_SCALAR &&
        json_is_literal(before) == json_is_literal(after) && strcmp(before->text, after->text) == 0)
        return;
    if (before->kind == VALUE_LIST && value_equals(before, after))
        return;
    if (before->kind == VALUE_MAP && after->kind == VALUE_MAP)
        compare_maps(patch, before, after);
    else if (before->kind == VALUE_LIST && after->kind == VALUE_LIST && are_named(before) && are_named(after))
        compare_named(patch, before, after);
    else
        add_operation(patch, "replace", after);
}

void patch_write(const struct value *before, const struct value *after, struct strbuf *text)
{
    struct patch patch = { .text = text, .is_first = true };

    strbuf_init(&patch.path, MOST_PATH);
    strbuf_append(&patch.path, ""); /* there is a text, also of the whole document */
    strbuf_append(text, "[");
    compare(&patch, before, after);
    strbuf_append(text, "]");
    text->failed |= patch.has_failed;
    strbuf_done(&patch.path);
}

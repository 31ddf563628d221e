/*
 * A Kubernetes object as a tree that can be changed: maps keep their order, scalars what was written and how. Memory is
 * an arena's, and goes with it. Thread: any one at a time.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"

enum value_kind {
    VALUE_SCALAR,
    VALUE_MAP,
    VALUE_LIST,
};

/* How a scalar stands in the text. Plain ones may be numbers, booleans or null; all others are strings. */
enum value_style {
    VALUE_PLAIN,
    VALUE_SINGLE_QUOTED,
    VALUE_DOUBLE_QUOTED,
    VALUE_LITERAL, /* | */
    VALUE_FOLDED,  /* > */
};

struct value {
    enum value_kind kind;
    enum value_style style;
    const char *text;    /* of a scalar: terminated, without NUL inside */
    const char *tag;     /* written explicitly, such as !!binary; NULL: none */
    struct value **keys; /* of a map; scalars */
    struct value **items;
    size_t count, capacity;
};

/* NULL without memory. */
struct value *value_new(struct arena *arena, enum value_kind kind);
struct value *value_new_text(struct arena *arena, const char *text);  /* quoted: a string whatever it holds */
struct value *value_new_plain(struct arena *arena, const char *text); /* a number, true, false, null or a simple word */

/* Of a map; NULL when it is not there, or `map` is NULL or no map. */
struct value *value_get(const struct value *map, const char *key);

/* The text of a scalar under `key`; NULL when there is none. */
const char *value_get_text(const struct value *map, const char *key);

/* Whether that is the text of a scalar under `key`. */
bool value_is(const struct value *map, const char *key, const char *text);

/* Whether it was written as null, or as nothing. */
bool value_is_null(const struct value *value);

/* Puts it under `key`: in the place of what is there, else last. Returns 0 or -ENOMEM, also where `value` is NULL. */
int value_set(struct arena *arena, struct value *map, const char *key, struct value *value);
/* Another key and value in the place of `key`, which must be there. */
void value_replace(struct value *map, const char *key, struct value *new_key, struct value *value);

/* Also where it is written twice. */
bool value_remove(struct value *map, const char *key);

/* Of a list, before the item that is at `index` now. Returns as value_set(). */
int value_insert(struct arena *arena, struct value *list, size_t index, struct value *item);
void value_remove_item(struct value *list, size_t index);

/* The item whose `name` is that; NULL when there is none. */
struct value *value_find_named(const struct value *list, const char *name);

/* Same kind, texts, styles of being a string or not, keys and order. */
bool value_equals(const struct value *one, const struct value *other);

/* A list of plain values; one value alone is a list of one. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "proxy/config/node.h"
#include "proxy/config/schema.h"

/* Whether the row's type is such a list. */
bool value_list_is_one(const struct field *field);

/* As value_parse(). */
int value_list_parse(const struct field *field, const struct node *node, struct arena *arena, void *at, char *problem);

/* Stores the def_text of a FIELD_UIDS. Returns 0 or -ENOMEM. */
int value_list_set_default(const struct field *field, struct arena *arena, void *at);

/* Stores items and count at a list's place in the model. */
void value_list_set(void *at, void *items, size_t count);

/* One scalar or list of scalars: from its YAML node into its place in the model. */
#pragma once

#include <stddef.h>

#include "base/arena.h"
#include "proxy/config/node.h"
#include "proxy/config/schema.h"

#define VALUE_PROBLEM_SIZE 512

/*
 * Parses `node` as the row says and stores it at `at`.
 * Returns 0, -ENOMEM, or -EINVAL; then `problem` (VALUE_PROBLEM_SIZE bytes) says what is wrong and what is allowed, and
 * `at` is untouched.
 */
int value_parse(const struct field *field, const struct node *node, struct arena *arena, void *at, char *problem);

/* Stores a row's def_text. Returns 0 or -ENOMEM. */
int value_set_default(const struct field *field, struct arena *arena, void *at);

/* A value as JSON, on one line, and back. Thread: any one at a time. */
#pragma once

#include <jansson.h>
#include <stdbool.h>

#include "base/strbuf.h"
#include "inject/value.h"

/* What jansson has read with JSON_REJECT_DUPLICATES. Returns 0, -ENOMEM, or -EINVAL where it is nested too deeply. */
int json_convert(struct arena *arena, const json_t *json, struct value **ret_value);

/* From a text. Returns the same; -EINVAL too where it is no JSON. */
int json_read(struct arena *arena, const char *text, struct value **ret_value);

/* Whether it stands for a number, true, false or null. */
bool json_is_literal(const struct value *value);

/* JSON has everything in it: keys are scalars and different, nothing has a tag; and nothing has more than 100 parts. */
bool json_can_write(const struct value *value);

/* Appends it. Plain scalars that are numbers, true, false or null stay so; everything else is a string. */
void json_write(const struct value *value, struct strbuf *text);

/* The same as a text of the arena. NULL without memory. */
const char *json_text(struct arena *arena, const struct value *value);

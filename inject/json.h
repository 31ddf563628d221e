/* A value as JSON, on one line. Thread: any one at a time. */
#pragma once

#include <stdbool.h>

#include "base/strbuf.h"
#include "inject/value.h"

/* JSON has everything in it: keys are scalars, nothing has a tag. */
bool json_can_write(const struct value *value);

/* Appends it. Plain scalars that are numbers, true, false or null stay so; everything else is a string. */
void json_write(const struct value *value, struct strbuf *text);

/* The same as a text of the arena. NULL without memory. */
const char *json_text(struct arena *arena, const struct value *value);

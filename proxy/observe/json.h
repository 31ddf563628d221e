/* What the files that answer in JSON have in common. */
#pragma once

#include <jansson.h>
#include <stdint.h>

#include "base/strbuf.h"

json_t *json_count(uint64_t count);

/* Appends the tree, indented, with a newline; takes it over. Without memory `{}`. */
void json_append(json_t *tree, struct strbuf *text);

/* Parts of what --dump-config prints, for whoever compares. */
#pragma once

#include "base/strbuf.h"
#include "proxy/config/schema.h"

/* Appends the keys of a section; `base` is its struct. */
void dump_append_section(const struct section *section, const void *base, struct strbuf *text);

/* Appends the value of a row that is neither a section nor a list; nothing when it is not there. */
void dump_append_scalar(const struct field *field, const void *base, struct strbuf *text);

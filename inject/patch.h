/* What leads from one value to another, as a JSON Patch (RFC 6902). Pure. */
#pragma once

#include "base/strbuf.h"
#include "inject/value.h"

/*
 * Appends it: a JSON array, `[]` where both are the same. Lists of things with names are changed item by item; other
 * lists that differ are replaced.
 */
void patch_write(const struct value *before, const struct value *after, struct strbuf *text);

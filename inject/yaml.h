/*
 * YAML streams in and out, of any number of documents. Comments, anchors and the exact look go; order, values and what
 * is a string stay. JSON is YAML. Thread: any one at a time.
 */
#pragma once

#include <stddef.h>

#include "base/strbuf.h"
#include "inject/value.h"

#define YAML_MOST_BYTES (64 * 1024 * 1024)
#define YAML_MOST_NODES 4000000 /* with what aliases repeat, which is written out */
#define YAML_MOST_DEPTH 100

struct yaml_documents {
    struct value **items;
    size_t count, capacity;
};

/*
 * Reads all documents of `text`; empty ones are left out.
 *
 * ret_documents  set on success only; everything in it is the arena's
 * ret_problem    with -EINVAL: what is wrong, as `LINE:COLUMN: …`; the arena's
 * Returns 0, -EINVAL or -ENOMEM.
 */
int yaml_read(const char *text, size_t length, struct arena *arena, struct yaml_documents *ret_documents,
              const char **ret_problem);

/* Appends them; with more than one, `---` between them. Returns 0 or -ENOMEM. */
int yaml_write(const struct yaml_documents *documents, struct strbuf *text);

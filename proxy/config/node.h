/*
 * A YAML document as a tree whose nodes know their place. Built by libyaml's event parser, with limits on size, depth,
 * nodes and aliases, so that a hostile file costs little.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "proxy/config/report.h"

#define NODE_MOST_BYTES   (16 * 1024 * 1024)
#define NODE_MOST_DEPTH   32
#define NODE_MOST_NODES   2000000
#define NODE_MOST_ALIASES 64

enum node_kind {
    NODE_SCALAR,
    NODE_MAPPING,
    NODE_SEQUENCE,
};

/* One entry of a mapping or, with key NULL, of a sequence. */
struct node_entry {
    struct node_entry *next;
    struct node *key;
    struct node *value;
};

struct node {
    enum node_kind kind;
    bool plain;            /* a scalar without quotes */
    unsigned line, column; /* from 1 */
    const char *text;      /* scalar: terminated, without NUL bytes inside */
    struct node_entry *entries;
    size_t count;
};

/*
 * Parses the first document of `text`; a second one is an error. Memory comes from `arena`.
 *
 * ret_root     set on success; NULL when the document is empty
 * Returns 0, -EINVAL when something was reported, or -ENOMEM.
 */
int node_parse(const char *text, size_t length, struct arena *arena, struct report *report, struct node **ret_root);

/* The value under `key`, or NULL. */
struct node *node_get(const struct node *mapping, const char *key);

/* Item `index` of a sequence, or NULL. */
struct node *node_item(const struct node *sequence, size_t index);

/* Nothing was written: an empty plain scalar, `~` or `null`. */
bool node_is_empty(const struct node *node);

/* Appends the node as YAML on one line, which parses to the same. */
void node_write(const struct node *node, struct strbuf *text);

/* Appends `value` in double quotes, escaped as YAML needs it. */
void node_write_quoted(const char *value, struct strbuf *text);

/* "a mapping", "a list" or "a value". */
const char *node_kind_name(const struct node *node);

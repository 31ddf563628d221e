/* The configuration in force as JSON, which is YAML too and loads to the same: the dump's tree, written otherwise. */
#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/config/config.h"
#include "proxy/config/node.h"

#define MOST_BYTES NODE_MOST_BYTES

static json_t *convert(const struct node *node);

static json_t *convert_scalar(const struct node *node)
{
    char *end;
    long long number;

    if (!node->plain)
        return json_string(node->text);
    if (node_is_empty(node))
        return json_null();
    if (strcmp(node->text, "true") == 0)
        return json_true();
    if (strcmp(node->text, "false") == 0)
        return json_false();
    errno = 0;
    number = strtoll(node->text, &end, 10);
    return errno == 0 && *end == '\0' ? json_integer(number) : json_string(node->text);
}

static json_t *convert(const struct node *node)
{
    json_t *converted;

    if (node->kind == NODE_SCALAR)
        return convert_scalar(node);
    converted = node->kind == NODE_MAPPING ? json_object() : json_array();
    for (const struct node_entry *entry = node->entries; entry; entry = entry->next) {
        if (entry->key)
            json_object_set_new(converted, entry->key->text, convert(entry->value));
        else
            json_array_append_new(converted, convert(entry->value));
    }
    return converted;
}

int config_dump_json(const struct config *config, struct strbuf *text)
{
    struct arena arena = { 0 };
    struct node *root = NULL;
    struct report report;
    struct strbuf yaml;
    json_t *tree = NULL;
    char *json = NULL;
    int r = -ENOMEM;

    report_init(&report, "dump");
    strbuf_init(&yaml, MOST_BYTES);
    config_dump(config, &yaml);
    if (!strbuf_failed(&yaml))
        r = node_parse(yaml.text, yaml.length, &arena, &report, &root);
    if (r == 0) {
        tree = convert(root);
        json = json_dumps(tree, JSON_INDENT(2));
        r = json ? 0 : -ENOMEM;
    }
    if (r == 0)
        strbuf_printf(text, "%s\n", json);
    free(json);
    json_decref(tree);
    strbuf_done(&yaml);
    report_done(&report);
    arena_done(&arena);
    return r;
}

#include "proxy/config/value_list.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/host_name.h"
#include "base/macros.h"
#include "base/units.h"
#include "proxy/config/model.h"
#include "proxy/config/value.h"
#include "proxy/tls/spiffe_id.h"

/* Every { items, count } of the model has this shape. */
struct any_list {
    void *items;
    size_t count;
};

bool value_list_is_one(const struct field *field)
{
    switch (field->type) {
    case FIELD_CIDRS:
    case FIELD_PORTS:
    case FIELD_UIDS:
    case FIELD_HOSTS:
    case FIELD_SERVER_NAMES:
    case FIELD_IDENTITIES:
        return true;
    default:
        return false;
    }
}

void value_list_set(void *at, void *items, size_t count)
{
    struct any_list list = { items, count };

    memcpy(at, &list, sizeof list);
}

static int parse_uid(const char *text, struct uid_rule *rule, char *problem)
{
    uint64_t uid;

    *rule = (struct uid_rule){ 0 };
    if (strcmp(text, "any") == 0)
        rule->kind = UID_RULE_ANY;
    else if (strcmp(text, "own") == 0)
        rule->kind = UID_RULE_OWN;
    else if (units_parse_number(text, &uid) == 0 && uid < UINT32_MAX) {
        rule->kind = UID_RULE_NUMBER;
        rule->uid = (uid_t)uid;
    } else {
        snprintf(problem, VALUE_PROBLEM_SIZE, "\"%.64s\" is not a uid; allowed: any, own, or a number", text);
        return -EINVAL;
    }
    return 0;
}

/* RFC 6066, section 3: a name in DNS's letters, without a trailing dot. `*.` before it stands for one label or more. */
static bool is_server_name(const char *text)
{
    size_t length = strlen(text);

    if (strncmp(text, "*.", 2) == 0)
        return host_name_is_valid(text + 2, length - 2) && text[length - 1] != '.';
    return host_name_is_valid(text, length) && text[length - 1] != '.';
}

/* Names are compared as DNS does, so they are kept in small letters. */
static int parse_host(const struct field *field, const char *text, struct arena *arena, void *item, char *problem)
{
    bool is_sni = field->type == FIELD_SERVER_NAMES;
    char *copy;

    if (is_sni ? !is_server_name(text) : !host_name_is_valid(text, strlen(text))) {
        snprintf(problem, VALUE_PROBLEM_SIZE, "\"%.128s\" is not a host name%s", text,
                 is_sni ? "; allowed: NAME, or *.NAME"
                        : "; allowed: a name without wildcards (an address belongs to `addresses`)");
        return -EINVAL;
    }
    copy = arena_copy_text(arena, text, strlen(text));
    if (!copy)
        return -ENOMEM;
    for (char *at = copy; *at; at++)
        *at = (char)(*at >= 'A' && *at <= 'Z' ? *at - 'A' + 'a' : *at);
    memcpy(item, &copy, sizeof copy);
    return 0;
}

static int parse_identity(const char *text, struct arena *arena, void *item, char *problem)
{
    struct spiffe_id pattern;
    const char *why;
    char *copy;

    if (spiffe_pattern_parse(text, strlen(text), &pattern, &why) < 0) {
        snprintf(problem, VALUE_PROBLEM_SIZE, "\"%.128s\" is no SPIFFE ID: %s", text, why);
        return -EINVAL;
    }
    copy = arena_copy_text(arena, text, strlen(text));
    if (!copy)
        return -ENOMEM;
    memcpy(item, &copy, sizeof copy);
    return 0;
}

static int parse_item(const struct field *field, const char *text, struct arena *arena, void *item, char *problem)
{
    const char *why;

    switch (field->type) {
    case FIELD_CIDRS:
        if (cidr_parse(text, item, &why) < 0) {
            snprintf(problem, VALUE_PROBLEM_SIZE, "\"%.64s\": %s", text, why);
            return -EINVAL;
        }
        return 0;
    case FIELD_PORTS:
        if (port_range_parse(text, item, &why) < 0) {
            snprintf(problem, VALUE_PROBLEM_SIZE, "\"%.64s\": %s", text, why);
            return -EINVAL;
        }
        return 0;
    case FIELD_HOSTS:
    case FIELD_SERVER_NAMES:
        return parse_host(field, text, arena, item, problem);
    case FIELD_IDENTITIES:
        return parse_identity(text, arena, item, problem);
    default:
        return parse_uid(text, item, problem);
    }
}

static size_t item_size(const struct field *field)
{
    switch (field->type) {
    case FIELD_CIDRS:
        return sizeof(struct cidr);
    case FIELD_PORTS:
        return sizeof(struct port_range);
    case FIELD_HOSTS:
    case FIELD_SERVER_NAMES:
    case FIELD_IDENTITIES:
        return sizeof(const char *);
    default:
        return sizeof(struct uid_rule);
    }
}

int value_list_parse(const struct field *field, const struct node *node, struct arena *arena, void *at, char *problem)
{
    const struct node_entry *entry = node->entries;
    size_t count = node->count, index = 0;
    char *items;
    int r;

    if (node->kind == NODE_SCALAR) {
        items = arena_alloc(arena, item_size(field));
        if (!items)
            return -ENOMEM;
        r = parse_item(field, node->text, arena, items, problem);
        if (r < 0)
            return r;
        value_list_set(at, items, 1);
        return 0;
    }
    if (count < field->min || count > field->max) {
        snprintf(problem, VALUE_PROBLEM_SIZE, "%zu entries; allowed: %" PRIu64 " to %" PRIu64, count, field->min,
                 field->max);
        return -EINVAL;
    }
    items = arena_alloc(arena, count * item_size(field));
    if (!items)
        return -ENOMEM;
    for (; entry; entry = entry->next, index++) {
        if (entry->value->kind != NODE_SCALAR) {
            snprintf(problem, VALUE_PROBLEM_SIZE, "entry %zu is %s; expected a plain value", index,
                     node_kind_name(entry->value));
            return -EINVAL;
        }
        r = parse_item(field, entry->value->text, arena, items + index * item_size(field), problem);
        if (r < 0)
            return r;
    }
    value_list_set(at, items, count);
    return 0;
}

int value_list_set_default(const struct field *field, struct arena *arena, void *at)
{
    struct uid_rule rules[4];
    char text[64], problem[VALUE_PROBLEM_SIZE], *rest = text, *word;
    size_t count = 0;
    struct uid_rule *items;

    snprintf(text, sizeof text, "%s", field->def_text);
    while ((word = strsep(&rest, " ")) && count < ARRAY_SIZE(rules)) {
        if (parse_uid(word, &rules[count], problem) == 0)
            count++;
    }
    items = arena_alloc(arena, count * sizeof *items);
    if (!items)
        return -ENOMEM;
    memcpy(items, rules, count * sizeof *items);
    value_list_set(at, items, count);
    return 0;
}

#include <inttypes.h>
#include <string.h>

#include "base/macros.h"
#include "proxy/config/config.h"
#include "proxy/config/dump.h"
#include "proxy/config/node.h"
#include "proxy/config/schema.h"

struct dumped_list {
    const void *items;
    size_t count;
};

static void indent(struct strbuf *text, unsigned depth)
{
    for (unsigned i = 0; i < depth; i++)
        strbuf_append(text, "  ");
}

static void dump_flags(const struct field *field, uint64_t flags, struct strbuf *text)
{
    const char *separator = "";

    strbuf_append(text, "[");
    for (size_t i = 0; i < field_name_count(field); i++) {
        if (flags & (1ULL << i)) {
            strbuf_printf(text, "%s%s", separator, field->names[i]);
            separator = ", ";
        }
    }
    strbuf_append(text, "]");
}

static void dump_uid(const struct uid_rule *rule, struct strbuf *text)
{
    if (rule->kind == UID_RULE_NUMBER)
        strbuf_printf(text, "%u", rule->uid);
    else
        strbuf_append(text, rule->kind == UID_RULE_ANY ? "any" : "own");
}

static void dump_plain_list(const struct field *field, const void *at, struct strbuf *text)
{
    char word[CIDR_TEXT_SIZE];
    struct dumped_list list;

    memcpy(&list, at, sizeof list);
    strbuf_append(text, "[");
    for (size_t i = 0; i < list.count; i++) {
        if (i > 0)
            strbuf_append(text, ", ");
        if (field->type == FIELD_CIDRS)
            strbuf_printf(text, "\"%s\"", cidr_format((const struct cidr *)list.items + i, word));
        else if (field->type == FIELD_HOSTS || field->type == FIELD_SERVER_NAMES || field->type == FIELD_IDENTITIES)
            strbuf_printf(text, "\"%s\"", ((const char *const *)list.items)[i]);
        else if (field->type == FIELD_PORTS)
            strbuf_append(text, port_range_format(((const struct port_range *)list.items)[i], word));
        else
            dump_uid((const struct uid_rule *)list.items + i, text);
    }
    strbuf_append(text, "]");
}

static void dump_endpoint(const struct host_address *endpoint, struct strbuf *text)
{
    char word[SOCKADDR_TEXT_SIZE];

    if (endpoint->host)
        strbuf_printf(text, "\"%s:%u\"", endpoint->host, endpoint->port);
    else
        node_write_quoted(sockaddr_format(&endpoint->address.any, word), text);
}

static void dump_scalar(const struct field *field, const void *at, struct strbuf *text)
{
    char word[SOCKADDR_TEXT_SIZE];
    const char *string;
    uint64_t value;

    switch (field->type) {
    case FIELD_TEXT:
    case FIELD_NAME:
    case FIELD_PATH:
    case FIELD_IDENTITY:
    case FIELD_TRUST_DOMAIN:
        memcpy(&string, at, sizeof string);
        node_write_quoted(string, text);
        break;
    case FIELD_ENDPOINT:
        dump_endpoint(at, text);
        break;
    case FIELD_ADDRESS:
        node_write_quoted(sockaddr_format(at, word), text);
        break;
    case FIELD_CIDRS:
    case FIELD_PORTS:
    case FIELD_HOSTS:
    case FIELD_SERVER_NAMES:
    case FIELD_IDENTITIES:
    case FIELD_UIDS:
        dump_plain_list(field, at, text);
        break;
    case FIELD_FLAGS:
        memcpy(&value, at, sizeof value);
        dump_flags(field, value, text);
        break;
    default:
        memcpy(&value, at, sizeof value);
        field_format_value(field, value, word, sizeof word);
        strbuf_append(text, word);
        break;
    }
}

static void dump_section(const struct section *section, const void *base, unsigned depth, bool in_item,
                         struct strbuf *text);

static void dump_items(const struct field *field, const struct dumped_list *list, unsigned depth, struct strbuf *text)
{
    for (size_t i = 0; i < list->count; i++) {
        indent(text, depth);
        strbuf_append(text, "- ");
        dump_section(field->section, (const char *)list->items + i * field->section->size, depth + 1, true, text);
    }
}

/* Nothing to write: an empty list (the same as none), a feature that is off, no `defaults`. */
static bool is_left_out(const struct field *field, const void *at)
{
    const struct host_address *endpoint;
    struct dumped_list list;
    uint64_t present;

    switch (field->type) {
    case FIELD_TEXT: /* pointers */
    case FIELD_NAME:
    case FIELD_PATH:
    case FIELD_IDENTITY:
        memcpy(&present, at, sizeof present);
        return present == 0;
    case FIELD_ENDPOINT:
        endpoint = at;
        return !endpoint->host && endpoint->address.family == AF_UNSPEC;
    case FIELD_CIDRS:
    case FIELD_PORTS:
    case FIELD_HOSTS:
    case FIELD_SERVER_NAMES:
    case FIELD_IDENTITIES:
    case FIELD_LIST:
        memcpy(&list, at, sizeof list);
        return list.count == 0;
    case FIELD_SECTION: /* a switch's flag, or the pointer to the text of `defaults` */
        memcpy(&present, at, sizeof present);
        return present == 0 && (field->section == &schema_defaults || field->presence == PRESENCE_SWITCH);
    default:
        return false;
    }
}

/* The first line of an item stands behind its dash. */
static void dump_section(const struct section *section, const void *base, unsigned depth, bool in_item,
                         struct strbuf *text)
{
    bool first = in_item;

    for (size_t i = 0; i < section->count; i++) {
        const struct field *field = &section->fields[i];
        const void *at = (const char *)base + field->offset;

        if (is_left_out(field, at))
            continue;
        if (!first)
            indent(text, depth);
        first = false;
        strbuf_printf(text, "%s:", field->key);
        if (field->section == &schema_defaults) {
            strbuf_printf(text, " %s\n", *(const char *const *)at);
        } else if (field->type == FIELD_SECTION) {
            strbuf_append(text, "\n");
            dump_section(field->section, at, depth + 1, false, text);
        } else if (field->type == FIELD_LIST) {
            struct dumped_list list;

            memcpy(&list, at, sizeof list);
            strbuf_append(text, "\n");
            dump_items(field, &list, depth + 1, text);
        } else {
            strbuf_append(text, " ");
            dump_scalar(field, at, text);
            strbuf_append(text, "\n");
        }
    }
}

void config_dump(const struct config *config, struct strbuf *text)
{
    dump_section(&schema_root, config, 0, false, text);
}

void dump_append_section(const struct section *section, const void *base, struct strbuf *text)
{
    dump_section(section, base, 0, false, text);
}

void dump_append_scalar(const struct field *field, const void *base, struct strbuf *text)
{
    const void *at = (const char *)base + field->offset;

    if (!is_left_out(field, at))
        dump_scalar(field, at, text);
}

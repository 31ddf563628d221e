#include "proxy/config/value.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/host_name.h"
#include "base/macros.h"
#include "base/suggest.h"
#include "base/units.h"
#include "proxy/config/model.h"
#include "proxy/config/value_list.h"
#include "proxy/tls/spiffe_id.h"

static void join_names(const struct field *field, struct strbuf *text)
{
    for (size_t i = 0; field->names[i]; i++)
        strbuf_printf(text, "%s%s", i > 0 ? ", " : "", field->names[i]);
}

/* "…; allowed: 1 to 65535 or auto" */
static void describe_range(const struct field *field, char *text, size_t size)
{
    char min[64], max[64];

    field_format_value(field, field->min, min, sizeof min);
    field_format_value(field, field->max, max, sizeof max);
    snprintf(text, size, field->min == field->max ? "allowed: %s%.0s%s%s" : "allowed: %s to %s%s%s", min, max,
             field->keyword ? " or " : "", field->keyword ? field->keyword : "");
}

static int parse_number(const struct field *field, const char *text, void *at, char *problem)
{
    const char *form = "a whole number";
    char range[160];
    uint64_t value;
    int r;

    if (field->keyword && strcmp(text, field->keyword) == 0) {
        value = CONFIG_AUTO;
        memcpy(at, &value, sizeof value);
        return 0;
    }
    switch (field->type) {
    case FIELD_DURATION:
        r = units_parse_duration(text, &value);
        form = "a duration (a number with ms, s, m, h or d)";
        break;
    case FIELD_SIZE:
        r = units_parse_size(text, &value);
        form = "a size (a number with B, KiB, MiB or GiB)";
        break;
    case FIELD_PERCENT:
        r = units_parse_percent(text, &value);
        form = "a percentage (0% to 100%)";
        break;
    default:
        r = units_parse_number(text, &value);
        break;
    }
    if (r == 0 && value >= field->min && value <= field->max) {
        memcpy(at, &value, sizeof value);
        return 0;
    }
    describe_range(field, range, sizeof range);
    if (r == -EINVAL)
        snprintf(problem, VALUE_PROBLEM_SIZE, "\"%.64s\" is not %s; %s", text, form, range);
    else
        snprintf(problem, VALUE_PROBLEM_SIZE, "%.64s is out of range; %s", text, range);
    return -EINVAL;
}

/* The index of a name, or -EINVAL with the problem told. */
static int find_name(const struct field *field, const char *text, char *problem)
{
    size_t count = field_name_count(field);
    struct strbuf allowed;
    int nearest;

    for (size_t i = 0; i < count; i++) {
        if (strcmp(field->names[i], text) == 0)
            return (int)i;
    }
    nearest = suggest_nearest(text, field->names, count);
    strbuf_init(&allowed, 256);
    join_names(field, &allowed);
    if (nearest >= 0)
        snprintf(problem, VALUE_PROBLEM_SIZE, "\"%.64s\" is not known; did you mean \"%s\"? allowed: %.256s", text,
                 field->names[nearest], allowed.text);
    else
        snprintf(problem, VALUE_PROBLEM_SIZE, "\"%.64s\" is not known; allowed: %.256s", text, allowed.text);
    strbuf_done(&allowed);
    return -EINVAL;
}

static int parse_bool(const char *text, void *at, char *problem)
{
    uint64_t value = strcmp(text, "true") == 0;

    if (!value && strcmp(text, "false") != 0) {
        snprintf(problem, VALUE_PROBLEM_SIZE, "\"%.64s\" is not known; allowed: true, false", text);
        return -EINVAL;
    }
    memcpy(at, &value, sizeof value);
    return 0;
}

static int parse_enum(const struct field *field, const char *text, void *at, char *problem)
{
    int index = find_name(field, text, problem);
    uint64_t value = (uint64_t)index;

    if (index < 0)
        return index;
    memcpy(at, &value, sizeof value);
    return 0;
}

static int keep_text(struct arena *arena, const char *text, size_t length, void *at)
{
    const char *copy = arena_copy_text(arena, text, length);

    if (!copy)
        return -ENOMEM;
    memcpy(at, &copy, sizeof copy);
    return 0;
}

static int parse_name(const struct field *field, const char *text, struct arena *arena, void *at, char *problem)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.";
    size_t length = strlen(text);

    if (length < field->min || length > field->max || strspn(text, allowed) != length) {
        snprintf(problem, VALUE_PROBLEM_SIZE,
                 "\"%.64s\" is not a name; allowed: %" PRIu64 " to %" PRIu64 " letters, digits, '-', '_' and '.'", text,
                 field->min, field->max);
        return -EINVAL;
    }
    return keep_text(arena, text, length, at);
}

static int parse_text(const struct field *field, const char *text, struct arena *arena, void *at, char *problem)
{
    size_t length = strlen(text);

    if (length < field->min || length > field->max) {
        snprintf(problem, VALUE_PROBLEM_SIZE, "%zu bytes; allowed: %" PRIu64 " to %" PRIu64, length, field->min,
                 field->max);
        return -EINVAL;
    }
    return keep_text(arena, text, length, at);
}

static int parse_path(const struct field *field, const char *text, struct arena *arena, void *at, char *problem)
{
    size_t length = strlen(text);

    if (length == 0 && field->min == 0) {
        memcpy(at, &(const char *){ NULL }, sizeof(const char *));
        return 0;
    }
    if (text[0] != '/' || length < field->min || length > field->max) {
        snprintf(problem, VALUE_PROBLEM_SIZE,
                 "\"%.128s\" is not a path; allowed: an absolute path of at most %" PRIu64 " bytes", text, field->max);
        return -EINVAL;
    }
    return keep_text(arena, text, length, at);
}

static int parse_identity(const struct field *field, const char *text, struct arena *arena, void *at, char *problem)
{
    size_t length = strlen(text);
    struct spiffe_id id;
    const char *wrong;

    if (length > field->max || spiffe_id_parse(text, length, &id, &wrong) < 0 || !spiffe_id_has_path(&id)) {
        snprintf(problem, VALUE_PROBLEM_SIZE, "\"%.128s\" is not a SPIFFE ID; allowed: spiffe://TRUST-DOMAIN/PATH",
                 text);
        return -EINVAL;
    }
    return keep_text(arena, text, length, at);
}

static int parse_trust_domain(const char *text, struct arena *arena, void *at, char *problem)
{
    size_t length = strlen(text);

    if (!spiffe_trust_domain_is_valid(text, length)) {
        snprintf(problem, VALUE_PROBLEM_SIZE,
                 "\"%.128s\" is not a trust domain; allowed: at most 255 small letters, digits, '-', '_' and '.'",
                 text);
        return -EINVAL;
    }
    return keep_text(arena, text, length, at);
}

/* An address, or `name:port`. */
static int parse_endpoint(const char *text, struct arena *arena, void *at, char *problem)
{
    struct host_address endpoint = { .host = NULL };
    const char *why, *colon = strrchr(text, ':');
    uint64_t port;

    if (sockaddr_parse(text, &endpoint.address, &why) < 0) {
        memset(&endpoint.address, 0, sizeof endpoint.address);
        if (!colon || !host_name_is_valid(text, (size_t)(colon - text)) || units_parse_number(colon + 1, &port) < 0 ||
            port < 1 || port > 65535) {
            snprintf(problem, VALUE_PROBLEM_SIZE, "\"%.128s\" is neither an address nor NAME:PORT: %s", text, why);
            return -EINVAL;
        }
        endpoint.host = arena_copy_text(arena, text, (size_t)(colon - text));
        endpoint.port = (uint16_t)port;
        if (!endpoint.host)
            return -ENOMEM;
    }
    memcpy(at, &endpoint, sizeof endpoint);
    return 0;
}

static int parse_address(const char *text, void *at, char *problem)
{
    union sockaddr_any address;
    const char *why;

    memset(&address, 0, sizeof address);
    if (sockaddr_parse(text, &address, &why) < 0) {
        snprintf(problem, VALUE_PROBLEM_SIZE, "\"%.128s\" is not an address: %s", text, why);
        return -EINVAL;
    }
    if (address.family == AF_UNIX) {
        snprintf(problem, VALUE_PROBLEM_SIZE, "\"%.128s\" is not allowed here; allowed: ADDRESS:PORT or [ADDRESS]:PORT",
                 text);
        return -EINVAL;
    }
    memcpy(at, &address, sizeof address);
    return 0;
}

static int parse_flags(const struct field *field, const struct node *node, void *at, char *problem)
{
    uint64_t flags = 0;

    if (node->kind != NODE_SEQUENCE) {
        struct strbuf allowed;

        strbuf_init(&allowed, 256);
        join_names(field, &allowed);
        snprintf(problem, VALUE_PROBLEM_SIZE, "expected a list; allowed in it: %.256s", allowed.text);
        strbuf_done(&allowed);
        return -EINVAL;
    }
    for (const struct node_entry *entry = node->entries; entry; entry = entry->next) {
        int index;

        if (entry->value->kind != NODE_SCALAR) {
            snprintf(problem, VALUE_PROBLEM_SIZE, "%s in the list; expected a plain value",
                     node_kind_name(entry->value));
            return -EINVAL;
        }
        index = find_name(field, entry->value->text, problem);
        if (index < 0)
            return index;
        flags |= 1ULL << index;
    }
    memcpy(at, &flags, sizeof flags);
    return 0;
}

int value_parse(const struct field *field, const struct node *node, struct arena *arena, void *at, char *problem)
{
    bool takes_list = value_list_is_one(field);

    if (field->type == FIELD_FLAGS)
        return parse_flags(field, node, at, problem);
    if (takes_list && node->kind != NODE_MAPPING)
        return value_list_parse(field, node, arena, at, problem);
    if (node->kind == NODE_MAPPING || (node->kind == NODE_SEQUENCE && !takes_list)) {
        snprintf(problem, VALUE_PROBLEM_SIZE, "expected %s, found %s", takes_list ? "a list" : "a value",
                 node_kind_name(node));
        return -EINVAL;
    }
    switch (field->type) {
    case FIELD_ENUM:
        return parse_enum(field, node->text, at, problem);
    case FIELD_BOOL:
        return parse_bool(node->text, at, problem);
    case FIELD_TEXT:
        return parse_text(field, node->text, arena, at, problem);
    case FIELD_NAME:
        return parse_name(field, node->text, arena, at, problem);
    case FIELD_PATH:
        return parse_path(field, node->text, arena, at, problem);
    case FIELD_IDENTITY:
        return parse_identity(field, node->text, arena, at, problem);
    case FIELD_TRUST_DOMAIN:
        return parse_trust_domain(node->text, arena, at, problem);
    case FIELD_ENDPOINT:
        return parse_endpoint(node->text, arena, at, problem);
    case FIELD_ADDRESS:
        return parse_address(node->text, at, problem);
    default:
        return parse_number(field, node->text, at, problem);
    }
}

int value_set_default(const struct field *field, struct arena *arena, void *at)
{
    if (field->type == FIELD_UIDS)
        return value_list_set_default(field, arena, at);
    memcpy(at, &field->def_text, sizeof field->def_text);
    return 0;
}

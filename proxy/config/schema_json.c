/* --schema: the rows as a JSON Schema. */
#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>

#include "proxy/config/config.h"
#include "proxy/config/schema.h"

static json_t *describe_section(const struct section *section);

static json_t *describe_names(const struct field *field)
{
    json_t *names = json_array();

    for (size_t i = 0; i < field_name_count(field); i++)
        json_array_append_new(names, json_string(field->names[i]));
    return names;
}

/* A number, or the same with its keyword. */
static json_t *describe_number(const struct field *field)
{
    json_t *number = json_pack("{s:s, s:I, s:I}", "type", "integer", "minimum", (json_int_t)field->min, "maximum",
                               (json_int_t)field->max);

    if (!field->keyword)
        return number;
    return json_pack("{s:[o, {s:s}]}", "anyOf", number, "const", field->keyword);
}

static json_t *describe_text(const char *pattern)
{
    return json_pack("{s:s, s:s}", "type", "string", "pattern", pattern);
}

/* A list of plain values; one value alone is a list of one. */
static json_t *describe_plain_list(const struct field *field, json_t *item)
{
    return json_pack("{s:[O, {s:s, s:o, s:I, s:I}]}", "anyOf", item, "type", "array", "items", item, "minItems",
                     (json_int_t)field->min, "maxItems", (json_int_t)field->max);
}

static json_t *describe_type(const struct field *field)
{
    switch (field->type) {
    case FIELD_NUMBER:
        return describe_number(field);
    case FIELD_DURATION:
        return json_pack("{s:[{s:s, s:s}, {s:i}]}", "anyOf", "type", "string", "pattern",
                         "^([0-9]+(\\.[0-9]{1,3})?(ms|s|m|h|d)|0)$", "const", 0);
    case FIELD_SIZE:
        return json_pack("{s:[{s:s, s:s}, {s:i}]}", "anyOf", "type", "string", "pattern",
                         "^([0-9]+(\\.[0-9]{1,3})?(B|KiB|MiB|GiB)|0)$", "const", 0);
    case FIELD_PERCENT:
        return json_pack("{s:s, s:s}", "type", "string", "pattern", "^[0-9]+(\\.[0-9]{1,2})?%$");
    case FIELD_BOOL:
        return json_pack("{s:s}", "type", "boolean");
    case FIELD_ENUM:
        return json_pack("{s:o}", "enum", describe_names(field));
    case FIELD_FLAGS:
        return json_pack("{s:s, s:{s:o}}", "type", "array", "items", "enum", describe_names(field));
    case FIELD_TEXT:
        return json_pack("{s:s, s:I, s:I}", "type", "string", "minLength", (json_int_t)field->min, "maxLength",
                         (json_int_t)field->max);
    case FIELD_NAME:
        return json_pack("{s:s, s:s, s:I, s:I}", "type", "string", "pattern", "^[A-Za-z0-9._-]+$", "minLength",
                         (json_int_t)field->min, "maxLength", (json_int_t)field->max);
    case FIELD_PATH:
        return json_pack("{s:s, s:s, s:I}", "type", "string", "pattern", field->min == 0 ? "^(/.*)?$" : "^/",
                         "maxLength", (json_int_t)field->max);
    case FIELD_ADDRESS:
        return describe_text("^([0-9.]+|\\[[0-9A-Fa-f:.]+\\]):[0-9]+$");
    case FIELD_ENDPOINT:
        return describe_text("^(([0-9A-Za-z._-]+|\\[[0-9A-Fa-f:.]+\\]):[0-9]+|unix:/.+)$");
    case FIELD_CIDRS:
        return describe_plain_list(field, describe_text("^[0-9A-Fa-f:.]+(/[0-9]+)?$"));
    case FIELD_PORTS:
        return describe_plain_list(field,
                                   json_pack("{s:[{s:s, s:i, s:i}, {s:s, s:s}]}", "anyOf", "type", "integer", "minimum",
                                             1, "maximum", 65535, "type", "string", "pattern", "^[0-9]+(-[0-9]+)?$"));
    case FIELD_HOSTS:
        return describe_plain_list(field, describe_text("^[0-9A-Za-z._-]+$"));
    case FIELD_SERVER_NAMES:
        return describe_plain_list(field, describe_text("^(\\*\\.)?[0-9A-Za-z._-]+$"));
    case FIELD_IDENTITIES:
        return describe_plain_list(field, describe_text("^spiffe://[0-9a-z._-]+(/([0-9A-Za-z._-]+|\\*))*$"));
    case FIELD_IDENTITY:
        return describe_text("^spiffe://[0-9a-z._-]+(/[0-9A-Za-z._-]+)+$");
    case FIELD_TRUST_DOMAIN:
        return describe_text("^[0-9a-z._-]+$");
    case FIELD_UIDS:
        return describe_plain_list(field, json_pack("{s:[{s:[s, s]}, {s:s, s:i}]}", "anyOf", "enum", "any", "own",
                                                    "type", "integer", "minimum", 0));
    case FIELD_SECTION:
        return describe_section(field->section);
    case FIELD_LIST:
        return json_pack("{s:s, s:o, s:I}", "type", "array", "items", describe_section(field->section), "maxItems",
                         (json_int_t)field->max);
    }
    return NULL;
}

static json_t *describe_default(const struct field *field)
{
    char text[64];

    switch (field->type) {
    case FIELD_NUMBER:
        if (!field->keyword || field->def != CONFIG_AUTO)
            return json_integer((json_int_t)field->def);
        return json_string(field->keyword);
    case FIELD_DURATION:
    case FIELD_SIZE:
    case FIELD_PERCENT:
    case FIELD_ENUM:
        field_format_value(field, field->def, text, sizeof text);
        return json_string(text);
    case FIELD_BOOL:
        return json_boolean(field->def != 0);
    case FIELD_NAME:
    case FIELD_TEXT:
    case FIELD_PATH:
    case FIELD_TRUST_DOMAIN:
        return field->def_text ? json_string(field->def_text) : NULL;
    default:
        return NULL;
    }
}

static json_t *describe_section(const struct section *section)
{
    json_t *properties = json_object(), *required = json_array();
    json_t *object;

    for (size_t i = 0; i < section->count; i++) {
        const struct field *field = &section->fields[i];
        json_t *property = describe_type(field);

        if (field->presence != PRESENCE_REQUIRED && field->type != FIELD_SECTION) /* nothing written: the default */
            property = json_pack("{s:[o, {s:s}]}", "anyOf", property, "type", "null");
        json_t *value = field->presence == PRESENCE_REQUIRED ? NULL : describe_default(field);

        json_object_set_new(property, "description", json_string(field->doc));
        if (value)
            json_object_set_new(property, "default", value);
        json_object_set_new(properties, field->key, property);
        if (field->presence == PRESENCE_REQUIRED)
            json_array_append_new(required, json_string(field->key));
    }
    object = json_pack("{s:[s, s], s:o, s:b}", "type", "object", "null", "properties", properties,
                       "additionalProperties", 0);
    if (json_array_size(required) > 0)
        json_object_set_new(object, "required", required);
    else
        json_decref(required);
    return object;
}

void config_schema(struct strbuf *text)
{
    json_t *schema = describe_section(&schema_root);
    char *json;

    json_object_set_new(schema, "$schema", json_string("https://json-schema.org/draft/2020-12/schema"));
    json_object_set_new(schema, "title", json_string("Outrigger configuration"));
    json = json_dumps(schema, JSON_INDENT(2));
    strbuf_append(text, json ? json : "");
    strbuf_append(text, "\n");
    free(json);
    json_decref(schema);
}

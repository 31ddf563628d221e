/* The key tables of docs/configuration.md. */
#include <stdio.h>
#include <string.h>

#include "base/macros.h"
#include "proxy/config/config.h"
#include "proxy/config/schema.h"

static const char *type_name(const struct field *field)
{
    switch (field->type) {
    case FIELD_NUMBER:
        return "number";
    case FIELD_DURATION:
        return "duration";
    case FIELD_SIZE:
        return "size";
    case FIELD_PERCENT:
        return "percentage";
    case FIELD_BOOL:
        return "true or false";
    case FIELD_ENUM:
        return "one of";
    case FIELD_FLAGS:
        return "list of";
    case FIELD_TEXT:
        return "text";
    case FIELD_NAME:
        return "name";
    case FIELD_PATH:
        return "path";
    case FIELD_ADDRESS:
        return "address";
    case FIELD_ENDPOINT:
        return "address, name or unix path";
    case FIELD_CIDRS:
        return "list of CIDRs";
    case FIELD_PORTS:
        return "list of ports";
    case FIELD_HOSTS:
        return "list of host names";
    case FIELD_SERVER_NAMES:
        return "list of server names";
    case FIELD_IDENTITIES:
        return "list of SPIFFE IDs";
    case FIELD_IDENTITY:
        return "SPIFFE ID";
    case FIELD_TRUST_DOMAIN:
        return "trust domain";
    case FIELD_UIDS:
        return "list of uids";
    case FIELD_SECTION:
        return "section";
    case FIELD_LIST:
        return "list of sections";
    }
    return "";
}

static void describe_allowed(const struct field *field, struct strbuf *text)
{
    char min[64], max[64];

    switch (field->type) {
    case FIELD_NUMBER:
    case FIELD_DURATION:
    case FIELD_SIZE:
    case FIELD_PERCENT:
        field_format_value(field, field->min, min, sizeof min);
        field_format_value(field, field->max, max, sizeof max);
        if (field->min == field->max)
            strbuf_append(text, min);
        else
            strbuf_printf(text, "%s to %s", min, max);
        if (field->keyword)
            strbuf_printf(text, " or `%s`", field->keyword);
        break;
    case FIELD_ENUM:
    case FIELD_FLAGS:
        for (size_t i = 0; i < field_name_count(field); i++)
            strbuf_printf(text, "%s`%s`", i > 0 ? ", " : "", field->names[i]);
        break;
    default:
        break;
    }
}

static void describe_default(const struct field *field, struct strbuf *text)
{
    char value[64];
    const char *separator = "";

    if (field->presence == PRESENCE_REQUIRED) {
        strbuf_append(text, "required");
        return;
    }
    switch (field->type) {
    case FIELD_NUMBER:
    case FIELD_DURATION:
    case FIELD_SIZE:
    case FIELD_PERCENT:
    case FIELD_BOOL:
    case FIELD_ENUM:
        field_format_value(field, field->def, value, sizeof value);
        strbuf_printf(text, "`%s`", value);
        if (field->has_def_original_destination) {
            field_format_value(field, field->def_original_destination, value, sizeof value);
            strbuf_printf(text, "; `%s` with original_destination", value);
        }
        break;
    case FIELD_FLAGS:
        for (size_t i = 0; i < field_name_count(field); i++) {
            if (field->def & (1ULL << i)) {
                strbuf_printf(text, "%s`%s`", separator, field->names[i]);
                separator = ", ";
            }
        }
        break;
    case FIELD_TEXT:
    case FIELD_PATH:
    case FIELD_TRUST_DOMAIN:
    case FIELD_UIDS:
        if (field->def_text)
            strbuf_printf(text, "`%s`", field->def_text);
        break;
    default:
        break;
    }
}

static void describe_section(const struct section *section, const char *path, struct strbuf *text);

static const char *const reload_names[] = {
    [RELOAD_RESTART] = "refused",
    [RELOAD_NEW_CONNECTIONS] = "new connections",
    [RELOAD_AT_ONCE] = "at once",
};

static void describe_row(const struct field *field, const char *path, struct strbuf *text)
{
    strbuf_printf(text, "| `%s%s` | %s | ", path, field->key, type_name(field));
    describe_allowed(field, text);
    strbuf_append(text, " | ");
    describe_default(field, text);
    strbuf_printf(text, " | %s | %s |\n",
                  field->section && field->type == FIELD_SECTION ? "" : reload_names[field->reload], field->doc);
}

static void describe_section(const struct section *section, const char *path, struct strbuf *text)
{
    for (size_t i = 0; i < section->count; i++) {
        const struct field *field = &section->fields[i];
        char inner[160];

        describe_row(field, path, text);
        if (!field->section)
            continue;
        snprintf(inner, sizeof inner, "%s%s%s.", path, field->key, field->type == FIELD_LIST ? "[]" : "");
        describe_section(field->section, inner, text);
    }
}

void config_reference(struct strbuf *text)
{
    static const char head[] = "| key | type | allowed | default | reload | meaning |\n"
                               "| --- | --- | --- | --- | --- | --- |\n";

    for (size_t i = 0; i < schema_root.count; i++) {
        const struct field *field = &schema_root.fields[i];
        const struct section one = { .fields = field, .count = 1 };

        strbuf_printf(text, "\n## `%s`\n\n", field->key);
        if (field->section == &schema_defaults) {
            strbuf_printf(
                text,
                "%s\n\nThe keys are those of [`clusters`](#clusters) that say how, not where: `load_balancing`, "
                "`timeouts`, `retry`, `circuit_breaker`, `outlier_detection`, `health_check`, `close_on_unhealthy`, "
                "`close_on_removal`.\n",
                field->doc);
            continue;
        }
        strbuf_append(text, head);
        describe_section(&one, "", text);
    }
}

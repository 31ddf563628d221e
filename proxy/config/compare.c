#include "proxy/config/compare.h"

#include <stdio.h>
#include <string.h>

#include "proxy/config/dump.h"
#include "proxy/config/schema.h"
#include "proxy/config/validate_place.h"

#define MOST_DUMP_BYTES  (256 * 1024 * 1024)
#define MOST_VALUE_BYTES (64 * 1024)

static bool are_equal(const struct section *section, const void *one, const void *other)
{
    struct strbuf texts[2];
    bool equal;

    strbuf_init(&texts[0], MOST_DUMP_BYTES);
    strbuf_init(&texts[1], MOST_DUMP_BYTES);
    dump_append_section(section, one, &texts[0]);
    dump_append_section(section, other, &texts[1]);
    equal = !strbuf_failed(&texts[0]) && !strbuf_failed(&texts[1]) && texts[0].length == texts[1].length &&
            (texts[0].length == 0 || memcmp(texts[0].text, texts[1].text, texts[0].length) == 0);
    strbuf_done(&texts[0]);
    strbuf_done(&texts[1]);
    return equal;
}

bool compare_configs(const struct config *one, const struct config *other)
{
    return are_equal(&schema_root, one, other);
}

bool compare_health_checks(const struct health_check_config *one, const struct health_check_config *other)
{
    return one->present == other->present && are_equal(&schema_health_check, one, other);
}

static void compare_values(const struct validate *validate, const struct field *field, const char *path,
                           const void *base, const void *running)
{
    struct strbuf value, before;

    strbuf_init(&value, MOST_VALUE_BYTES);
    strbuf_init(&before, MOST_VALUE_BYTES);
    dump_append_scalar(field, base, &value);
    dump_append_scalar(field, running, &before);
    if (strcmp(value.text, before.text) != 0)
        validate_complain(validate, path, "cannot change from %s to %s while the proxy runs; start it anew for that",
                          before.text, value.text);
    strbuf_done(&value);
    strbuf_done(&before);
}

/* Of lists only whole items could be compared; those of `dns.servers` are. */
static void compare_lists(const struct validate *validate, const struct field *field, const char *path,
                          const void *base, const void *running)
{
    struct {
        const char *items;
        size_t count;
    } now, before;
    bool equal;

    memcpy(&now, (const char *)base + field->offset, sizeof now);
    memcpy(&before, (const char *)running + field->offset, sizeof before);
    equal = now.count == before.count;
    for (size_t i = 0; equal && i < now.count; i++)
        equal = are_equal(field->section, now.items + i * field->section->size,
                          before.items + i * field->section->size);
    if (!equal)
        validate_complain(validate, path, "cannot change while the proxy runs; start it anew for that");
}

static void compare_sections(const struct validate *validate, const struct section *section, const char *path,
                             const void *base, const void *running)
{
    for (size_t i = 0; i < section->count; i++) {
        const struct field *field = &section->fields[i];
        char inner[MOST_PATH];

        if (field->section == &schema_defaults)
            continue;
        snprintf(inner, sizeof inner, "%s%s%s", path, *path ? "." : "", field->key);
        if (field->type == FIELD_SECTION)
            compare_sections(validate, field->section, inner, (const char *)base + field->offset,
                             (const char *)running + field->offset);
        else if (field->reload == RELOAD_RESTART && field->type == FIELD_LIST)
            compare_lists(validate, field, inner, base, running);
        else if (field->reload == RELOAD_RESTART)
            compare_values(validate, field, inner, base, running);
    }
}

void compare_report_restarts(const struct node *root, struct config *config, const struct config *running,
                             struct report *report)
{
    struct validate validate = { .root = root, .config = config, .report = report };

    compare_sections(&validate, &schema_root, "", config, running);
}

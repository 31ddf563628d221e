#include "inject/json.h"

#include <string.h>

#define MOST_BYTES (16UL * 1024 * 1024)
#define DIGITS     "0123456789"

bool json_can_write(const struct value *value)
{
    if (value->tag)
        return false;
    for (size_t i = 0; i < value->count; i++) {
        if (value->kind == VALUE_MAP && (value->keys[i]->kind != VALUE_SCALAR || value->keys[i]->tag))
            return false;
        if (!json_can_write(value->items[i]))
            return false;
    }
    return true;
}

/* RFC 8259, 6. */
static bool is_number(const char *text)
{
    size_t digits;

    text += *text == '-';
    digits = strspn(text, DIGITS);
    if (digits == 0 || (text[0] == '0' && digits > 1))
        return false;
    text += digits;
    if (*text == '.') {
        digits = strspn(text + 1, DIGITS);
        if (digits == 0)
            return false;
        text += 1 + digits;
    }
    if (*text == 'e' || *text == 'E') {
        text++;
        text += *text == '+' || *text == '-';
        digits = strspn(text, DIGITS);
        if (digits == 0)
            return false;
        text += digits;
    }
    return *text == '\0';
}

/* RFC 8259, 7. */
static void write_string(const char *string, struct strbuf *text)
{
    strbuf_append(text, "\"");
    for (; *string; string++) {
        if (*string == '"' || *string == '\\')
            strbuf_printf(text, "\\%c", *string);
        else if (*string == '\n')
            strbuf_append(text, "\\n");
        else if ((unsigned char)*string < ' ' || *string == 0x7f)
            strbuf_printf(text, "\\u%04x", (unsigned char)*string);
        else
            strbuf_append_bytes(text, string, 1);
    }
    strbuf_append(text, "\"");
}

static void write_scalar(const struct value *value, struct strbuf *text)
{
    const char *plain = value->style == VALUE_PLAIN ? value->text : NULL;

    if (plain && (is_number(plain) || strcmp(plain, "true") == 0 || strcmp(plain, "false") == 0))
        strbuf_append(text, plain);
    else if (plain && (strcmp(plain, "null") == 0 || strcmp(plain, "~") == 0 || plain[0] == '\0'))
        strbuf_append(text, "null");
    else
        write_string(value->text, text);
}

void json_write(const struct value *value, struct strbuf *text)
{
    if (value->kind == VALUE_SCALAR) {
        write_scalar(value, text);
        return;
    }
    strbuf_append(text, value->kind == VALUE_MAP ? "{" : "[");
    for (size_t i = 0; i < value->count; i++) {
        if (i > 0)
            strbuf_append(text, ",");
        if (value->kind == VALUE_MAP) {
            write_string(value->keys[i]->text, text);
            strbuf_append(text, ":");
        }
        json_write(value->items[i], text);
    }
    strbuf_append(text, value->kind == VALUE_MAP ? "}" : "]");
}

const char *json_text(struct arena *arena, const struct value *value)
{
    const char *copy = NULL;
    struct strbuf text;

    strbuf_init(&text, MOST_BYTES);
    json_write(value, &text);
    if (!strbuf_failed(&text))
        copy = arena_copy_text(arena, text.text, text.length);
    strbuf_done(&text);
    return copy;
}

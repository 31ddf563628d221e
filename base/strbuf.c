#include "base/strbuf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char empty_text[1];

void strbuf_init(struct strbuf *buffer, size_t limit)
{
    *buffer = (struct strbuf){ .text = empty_text, .limit = limit };
}

void strbuf_done(struct strbuf *buffer)
{
    if (buffer->text != empty_text)
        free(buffer->text);
    strbuf_init(buffer, buffer->limit);
}

static bool reserve(struct strbuf *buffer, size_t more)
{
    size_t wanted, capacity;
    char *text;

    if (buffer->failed)
        return false;
    if (more > buffer->limit - buffer->length) {
        buffer->failed = true;
        return false;
    }
    wanted = buffer->length + more + 1;
    if (wanted <= buffer->capacity)
        return true;
    capacity = MAX(buffer->capacity * 2, (size_t)256);
    capacity = MAX(capacity, wanted);
    text = realloc(buffer->text == empty_text ? NULL : buffer->text, capacity);
    if (!text) {
        buffer->failed = true;
        return false;
    }
    buffer->text = text;
    buffer->capacity = capacity;
    buffer->text[buffer->length] = '\0';
    return true;
}

void strbuf_append_bytes(struct strbuf *buffer, const char *bytes, size_t length)
{
    if (length == 0 || !reserve(buffer, length))
        return;
    memcpy(buffer->text + buffer->length, bytes, length);
    buffer->length += length;
    buffer->text[buffer->length] = '\0';
}

void strbuf_append(struct strbuf *buffer, const char *text)
{
    strbuf_append_bytes(buffer, text, strlen(text));
}

void strbuf_vprintf(struct strbuf *buffer, const char *format, va_list arguments)
{
    va_list again;
    int length;

    va_copy(again, arguments);
    length = vsnprintf(NULL, 0, format, arguments);
    if (length < 0)
        buffer->failed = true;
    else if (length > 0 && reserve(buffer, (size_t)length)) {
        vsnprintf(buffer->text + buffer->length, (size_t)length + 1, format, again);
        buffer->length += (size_t)length;
    }
    va_end(again);
}

void strbuf_printf(struct strbuf *buffer, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    strbuf_vprintf(buffer, format, arguments);
    va_end(arguments);
}

bool strbuf_failed(const struct strbuf *buffer)
{
    return buffer->failed;
}

char *strbuf_take(struct strbuf *buffer)
{
    char *text = NULL;

    if (!buffer->failed)
        text = buffer->text == empty_text ? strdup("") : buffer->text;
    else if (buffer->text != empty_text)
        free(buffer->text);
    strbuf_init(buffer, buffer->limit);
    return text;
}

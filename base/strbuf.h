/*
 * A growing string with a limit. An append past the limit, or without memory, marks the buffer failed; later appends do
 * nothing, and the one check at the end (strbuf_failed) tells. The text is always terminated.
 */
#pragma once

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/macros.h"

struct strbuf {
    char *text; /* never NULL after strbuf_init() */
    size_t length;
    size_t capacity;
    size_t limit; /* bytes, without the terminator */
    bool failed;
};

void strbuf_init(struct strbuf *buffer, size_t limit);
void strbuf_done(struct strbuf *buffer);

void strbuf_append(struct strbuf *buffer, const char *text);
void strbuf_append_bytes(struct strbuf *buffer, const char *bytes, size_t length);
void strbuf_printf(struct strbuf *buffer, const char *format, ...) PRINTF_LIKE(2, 3);
void strbuf_vprintf(struct strbuf *buffer, const char *format, va_list arguments) PRINTF_LIKE(2, 0);

bool strbuf_failed(const struct strbuf *buffer);

/* Hands the text to the caller, who frees it, and leaves the buffer empty. NULL when the buffer has failed. */
char *strbuf_take(struct strbuf *buffer);

/* Base64 with padding, on one line (RFC 4648, 4). Pure. */
#pragma once

#include <stddef.h>

#include "base/strbuf.h"

/* The caller frees it. NULL without memory. */
char *base64_encode(const char *bytes, size_t length);

/* Appends what `encoded` stands for, up to its first NUL byte; nothing where it is no base64. For texts. */
void base64_append_decoded(const char *encoded, struct strbuf *text);

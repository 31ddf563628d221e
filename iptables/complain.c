#include "iptables/complain.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#define MOST_VALUE_BYTES 256 /* shown */

int complain_of_value(const char *source, const char *value, const char *why)
{
    fprintf(stderr, "outrigger-init: %s: \"", source);
    for (size_t i = 0; value[i] != '\0'; i++) {
        unsigned char byte = (unsigned char)value[i];

        if (i == MOST_VALUE_BYTES) {
            fputs("...", stderr);
            break;
        }
        if (byte < ' ' || byte == 0x7f)
            fprintf(stderr, "\\x%02x", byte);
        else
            fputc(byte, stderr);
    }
    fprintf(stderr, "\": %s\n", why);
    return -EINVAL;
}

int complain(const char *format, ...)
{
    va_list arguments;

    fputs("outrigger-init: ", stderr);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    return -EINVAL;
}

#include "base/host_name.h"

#include <string.h>

#define MOST_BYTES 253 /* RFC 1035, in text */

bool host_name_is_valid(const char *text, size_t length)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.";
    const char *last = text;

    for (size_t i = 0; i < length; i++) {
        if (!strchr(allowed, text[i]) || (text[i] == '.' && (i == 0 || text[i - 1] == '.')))
            return false;
        if (text[i] == '.' && i + 1 < length)
            last = text + i + 1;
    }
    return length > 0 && length <= MOST_BYTES && strspn(last, "0123456789.") < length - (size_t)(last - text);
}

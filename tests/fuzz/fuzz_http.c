/* Any head is refused with a status, or has a method, a path that begins with '/', and a body within its bound. */
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "control/http_parse.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    char *text = malloc(length + 1);
    struct http_head head;
    int status;

    memcpy(text, bytes, length);
    text[length] = '\0';
    status = http_parse_head(text, HTTP_MOST_BODY_BYTES, &head);
    if (status == 0) {
        if (head.path[0] != '/' || head.method[0] == '\0' || head.body_length > HTTP_MOST_BODY_BYTES)
            abort();
        if (head.method < text || head.path + strlen(head.path) > text + length)
            abort();
    } else if (status != 400 && status != 413 && status != 501)
        abort();
    free(text);
    return 0;
}

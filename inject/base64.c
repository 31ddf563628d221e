#include "inject/base64.h"

#include <limits.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#define MOST_BYTES (64UL * 1024 * 1024)

char *base64_encode(const char *bytes, size_t length)
{
    char *encoded = length <= MOST_BYTES ? malloc((length + 2) / 3 * 4 + 1) : NULL;

    if (encoded)
        EVP_EncodeBlock((unsigned char *)encoded, (const unsigned char *)bytes, (int)length);
    return encoded;
}

void base64_append_decoded(const char *encoded, struct strbuf *text)
{
    size_t length = strlen(encoded);
    unsigned char *bytes = length <= MOST_BYTES ? malloc(length + 4) : NULL;
    int n = bytes && length % 4 == 0 ? EVP_DecodeBlock(bytes, (const unsigned char *)encoded, (int)length) : -1;

    /* Padding comes out as zeros. */
    if (n > 0)
        strbuf_append_bytes(text, (const char *)bytes, strnlen((const char *)bytes, (size_t)n));
    free(bytes);
}

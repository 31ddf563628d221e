/* Any bytes: what was decided is not changed by further bytes, and what is complete is as long as it says. */
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>

#include "proxy/net/proxy_header.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    struct proxy_header header = { 0 }, earlier = { 0 };
    enum proxy_header_result result = proxy_header_parse(bytes, length, &header), part;

    if (result == PROXY_HEADER_COMPLETE &&
        (header.length == 0 || header.length > length || header.length > PROXY_HEADER_MOST_BYTES ||
         header.source.family != header.destination.family))
        abort();
    part = proxy_header_parse(bytes, length / 2, &earlier);
    if (part != PROXY_HEADER_INCOMPLETE &&
        (part != result || (part == PROXY_HEADER_COMPLETE && earlier.length != header.length)))
        abort();
    if (result == PROXY_HEADER_COMPLETE && proxy_header_parse(bytes, header.length, &earlier) != PROXY_HEADER_COMPLETE)
        abort();
    if (result == PROXY_HEADER_COMPLETE &&
        proxy_header_parse(bytes, header.length - 1, &earlier) == PROXY_HEADER_COMPLETE)
        abort();
    return 0;
}

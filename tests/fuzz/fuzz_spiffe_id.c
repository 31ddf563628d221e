/* Any bytes: an ID is a pattern that matches itself, and nothing that is refused as a pattern is an ID. */
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "proxy/tls/spiffe_id.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    struct spiffe_id id = { 0 }, pattern = { 0 };
    const char *id_problem = NULL, *pattern_problem = NULL;
    int is_id = spiffe_id_parse((const char *)bytes, length, &id, &id_problem);
    int is_pattern = spiffe_pattern_parse((const char *)bytes, length, &pattern, &pattern_problem);

    if (is_id == 0 && (is_pattern < 0 || !spiffe_pattern_matches(&pattern, &id) || !spiffe_id_equals(&id, &pattern)))
        abort();
    if (is_id == 0 && (memchr(bytes, '*', length) || memchr(bytes, '%', length) || memchr(bytes, '\0', length)))
        abort();
    if ((is_id < 0 && !id_problem) || (is_pattern < 0 && !pattern_problem))
        abort();
    return 0;
}

/* Any redirect: the host stays, the path is one that a request line takes, and saying where it led leads there again.
 */
#include "tests/fuzz/fuzz.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/probe/location.h"

static void check(const struct location *location)
{
    if (strcmp(location->host, "[fd00::1]") != 0 || location->path[0] != '/')
        abort();
    for (const char *c = location->path; *c; c++) {
        if ((unsigned char)*c <= ' ' || *c == 0x7f || *c == '#')
            abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    struct location location = { .port = 80, .host = "[fd00::1]", .path = "/healthz/ready?full=1" }, again;
    char reference[4096], uri[2 * LOCATION_MOST_PATH];
    enum location_verdict verdict;

    if (length >= sizeof reference)
        return 0;
    memcpy(reference, bytes, length);
    reference[length] = '\0';
    verdict = location_follow(&location, reference);
    check(&location);
    if (verdict != LOCATION_SAME_HOST && (location.port != 80 || location.is_tls))
        abort();
    if (verdict != LOCATION_SAME_HOST && verdict != LOCATION_SAME_AUTHORITY)
        return 0;
    again = location;
    snprintf(uri, sizeof uri, "//%s:%u%s", location.host, location.port, location.path);
    if (location_follow(&again, uri) != LOCATION_SAME_HOST || strcmp(again.path, location.path) != 0 ||
        again.port != location.port || again.is_tls != location.is_tls)
        abort();
    return 0;
}

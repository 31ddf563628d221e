/* Any bytes: the name is one that a host may have, or none, and what was decided is not changed by further bytes. */
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "base/host_name.h"
#include "proxy/net/client_hello.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    enum client_hello_state result, part;
    struct client_hello hello, earlier;

    memset(&hello, 'x', sizeof hello);
    result = client_hello_parse(bytes, length, &hello);
    if (!memchr(hello.name, '\0', sizeof hello.name) ||
        (hello.name[0] && !host_name_is_valid(hello.name, strlen(hello.name))))
        abort();
    if (result != CLIENT_HELLO_COMPLETE && (hello.name[0] || hello.speaks_mesh))
        abort();
    part = client_hello_parse(bytes, length / 2, &earlier);
    if (part != CLIENT_HELLO_INCOMPLETE &&
        (part != result || strcmp(earlier.name, hello.name) != 0 || earlier.speaks_mesh != hello.speaks_mesh))
        abort();
    return 0;
}

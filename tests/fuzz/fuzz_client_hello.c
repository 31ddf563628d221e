/* Any bytes: the name is one that a host may have, or none, and what was decided is not changed by further bytes. */
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "base/host_name.h"
#include "proxy/net/client_hello.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    char name[CLIENT_HELLO_NAME_SIZE], earlier[CLIENT_HELLO_NAME_SIZE];
    enum client_hello result, part;

    memset(name, 'x', sizeof name);
    result = client_hello_parse(bytes, length, name);
    if (!memchr(name, '\0', sizeof name) || (name[0] && !host_name_is_valid(name, strlen(name))))
        abort();
    if (result != CLIENT_HELLO_COMPLETE && name[0])
        abort();
    part = client_hello_parse(bytes, length / 2, earlier);
    if (part != CLIENT_HELLO_INCOMPLETE && (part != result || strcmp(earlier, name) != 0))
        abort();
    return 0;
}

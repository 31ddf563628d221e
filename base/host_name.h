/* Names of hosts. Pure. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* RFC 1123 letters, and the underscore that people use. What ends like an IPv4 address is a slip, not a name. */
bool host_name_is_valid(const char *text, size_t length);

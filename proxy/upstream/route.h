/* Which cluster an original destination belongs to. Pure. */
#pragma once

#include <sys/socket.h>

#include "proxy/config/model.h"

/*
 * The rule that decides about `destination`: the longest prefix, then the narrowest port range. NULL when none fits.
 * A few binary searches, one for each length of prefix that there is.
 */
const struct match_rule *route_find(const struct config *config, const struct sockaddr *destination);

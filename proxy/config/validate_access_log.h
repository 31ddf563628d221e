/* What of `access_log` belongs together. For validate.c alone. */
#pragma once

#include "proxy/config/validate_place.h"

void validate_access_log(const struct validate *validate);

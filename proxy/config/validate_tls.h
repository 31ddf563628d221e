/* Checks of everything that has to do with TLS, beyond ranges. For validate.c alone. */
#pragma once

#include "proxy/config/validate_place.h"

void validate_tls(const struct validate *validate);

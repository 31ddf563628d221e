/* GET /probe/NAME. */
#pragma once

#include "control/http_server.h"

void command_probe(void *owner, const struct http_request *request, struct http_response *response);

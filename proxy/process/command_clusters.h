/* Commands that change something about one cluster. See control_command.run; the owner is the process. */
#pragma once

#include "control/http_server.h"

/* The request's name is the cluster's. */
void command_set_faults(void *owner, const struct http_request *request, struct http_response *response);
void command_clear_faults(void *owner, const struct http_request *request, struct http_response *response);

/* The name is `CLUSTER/eject` or `CLUSTER/restore`; the body is the endpoint's address. */
void command_endpoint(void *owner, const struct http_request *request, struct http_response *response);

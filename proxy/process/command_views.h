/* Commands that only ask. See control_command.run; the owner is the process. */
#pragma once

#include "control/http_server.h"

void command_status(void *owner, const struct http_request *request, struct http_response *response);
void command_clusters(void *owner, const struct http_request *request, struct http_response *response);
void command_connections(void *owner, const struct http_request *request, struct http_response *response);
void command_endings(void *owner, const struct http_request *request, struct http_response *response);
void command_config(void *owner, const struct http_request *request, struct http_response *response);
void command_identity(void *owner, const struct http_request *request, struct http_response *response);
void command_stats(void *owner, const struct http_request *request, struct http_response *response);
void command_explain_authorization(void *owner, const struct http_request *request, struct http_response *response);
void command_metrics(void *owner, const struct http_request *request, struct http_response *response);

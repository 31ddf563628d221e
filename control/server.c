#include "control/server.h"

#include <string.h>

static void refuse(struct http_response *response, int status, const char *problem)
{
    response->status = status;
    strbuf_append(&response->body, problem);
}

static void serve(const struct control_server_config *config, const struct http_request *request,
                  struct http_response *response, bool health)
{
    bool path_known = false;

    for (size_t i = 0; i < config->command_count; i++) {
        const struct control_command *command = &config->commands[i];

        if (strcmp(command->path, request->path) != 0 || (health && !command->on_health))
            continue;
        path_known = true;
        if (strcmp(command->method, request->method) != 0)
            continue;
        if (!health &&
            !(request->has_peer && config->is_allowed(config->owner, request->peer_uid, command->permission))) {
            refuse(response, 403, "this uid may not do that; see control.allow\n");
            return;
        }
        command->run(config->owner, request, response);
        return;
    }
    if (path_known)
        refuse(response, 405, "the path exists, but not with this method\n");
    else
        refuse(response, 404, "no such path\n");
}

void control_on_control_request(void *config, const struct http_request *request, struct http_response *response)
{
    serve(config, request, response, false);
}

void control_on_health_request(void *config, const struct http_request *request, struct http_response *response)
{
    serve(config, request, response, true);
}

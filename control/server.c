#include "control/server.h"

#include <string.h>

static void refuse(struct http_response *response, int status, const char *problem)
{
    response->status = status;
    strbuf_append(&response->body, problem);
}

static bool is_path_of(const struct control_command *command, const char *path, const char **ret_name)
{
    size_t length = strlen(command->path);

    *ret_name = NULL;
    if (command->path[length - 1] != '/')
        return strcmp(command->path, path) == 0;
    *ret_name = path + length;
    return strncmp(command->path, path, length) == 0 && path[length] != '\0';
}

static void serve(const struct control_server_config *config, const struct http_request *request,
                  struct http_response *response, bool health)
{
    struct http_request named = *request;
    bool path_known = false;

    for (size_t i = 0; i < config->command_count; i++) {
        const struct control_command *command = &config->commands[i];

        if (!is_path_of(command, request->path, &named.name) || (health && !command->on_health))
            continue;
        path_known = true;
        if (strcmp(command->method, request->method) != 0)
            continue;
        if (!health &&
            !(request->has_peer && config->is_allowed(config->owner, request->peer_uid, command->permission))) {
            refuse(response, 403, "this uid may not do that; see control.allow\n");
            return;
        }
        command->run(config->owner, &named, response);
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

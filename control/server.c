#include "control/server.h"

#include <arpa/inet.h>
#include <string.h>
#include <strings.h>

enum place { PLACE_CONTROL, PLACE_ADMIN, PLACE_HEALTH };

static void refuse(struct http_response *response, int status, const char *problem)
{
    response->status = status;
    strbuf_append(&response->body, problem);
}

static bool is_path_of(const struct control_command *command, const char *path, const char **ret_name)
{
    size_t length = strlen(command->path);

    *ret_name = NULL;
    if (command->path[length - 1] != '/' || length == 1)
        return strcmp(command->path, path) == 0;
    *ret_name = path + length;
    return strncmp(command->path, path, length) == 0 && path[length] != '\0';
}

/* Whether it may be given there; if not, `response` says why. */
static bool may_run(const struct control_server_config *config, const struct control_command *command, enum place place,
                    const struct http_request *request, struct http_response *response)
{
    if (place == PLACE_CONTROL) {
        if (request->has_peer && config->is_allowed(config->owner, request->peer_uid, command->permission))
            return true;
        refuse(response, 403, "this uid may not do that; see control.allow\n");
        return false;
    }
    if (command->permission == CONTROL_READ)
        return true;
    refuse(response, 403, "only the control socket takes commands\n");
    return false;
}

static void serve(const struct control_server_config *config, const struct http_request *request,
                  struct http_response *response, enum place place)
{
    struct http_request named = *request;
    bool path_known = false;

    for (size_t i = 0; i < config->command_count; i++) {
        const struct control_command *command = &config->commands[i];

        if (!is_path_of(command, request->path, &named.name) ||
            (place == PLACE_HEALTH && command->permission == CONTROL_READ && !command->on_health))
            continue;
        path_known = true;
        if (strcmp(command->method, request->method) != 0)
            continue;
        if (may_run(config, command, place, request, response))
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
    serve(config, request, response, PLACE_CONTROL);
}

/* The address alone, without brackets and port; "" when there is none, or too much. */
static void cut_address(const char *host, char *address, size_t size)
{
    size_t length = host[0] == '[' ? strcspn(host, "]") : strcspn(host, ":");
    size_t skipped = host[0] == '[';

    address[0] = '\0';
    if (length - skipped >= size || length < skipped)
        return;
    memcpy(address, host + skipped, length - skipped);
    address[length - skipped] = '\0';
}

bool control_host_is_local(const char *host)
{
    char address[INET6_ADDRSTRLEN];
    struct in6_addr ipv6;
    struct in_addr ipv4;

    cut_address(host, address, sizeof address);
    if (host[0] == '[')
        return strchr(host, ']') && inet_pton(AF_INET6, address, &ipv6) == 1 && IN6_IS_ADDR_LOOPBACK(&ipv6);
    if (strcasecmp(address, "localhost") == 0)
        return true;
    return inet_pton(AF_INET, address, &ipv4) == 1 && ntohl(ipv4.s_addr) >> 24 == IN_LOOPBACKNET;
}

void control_on_admin_request(void *config, const struct http_request *request, struct http_response *response)
{
    if (control_host_is_local(request->host))
        serve(config, request, response, PLACE_ADMIN);
    else
        refuse(response, 403, "the admin address answers only to localhost, 127.0.0.1 and [::1] as Host\n");
}

void control_on_health_request(void *config, const struct http_request *request, struct http_response *response)
{
    serve(config, request, response, PLACE_HEALTH);
}

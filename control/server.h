/*
 * Which request is which command, and who may give it where. The proxy hands over a table of commands; this knows
 * nothing of what they do.
 *
 * On the control socket the uid decides (SO_PEERCRED). The admin address answers whoever is on this machine, but only
 * what changes nothing, and only when the Host is the machine itself: a browser that was led here by a name of
 * somebody else's (DNS rebinding) must not read anything. The health address answers everybody, and little.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "control/http_server.h"

enum control_permission {
    CONTROL_READ,
    CONTROL_QUIT,
    CONTROL_CHANGE,
};

struct control_command {
    const char *method;
    const char *path; /* one that ends in a slash takes a name behind it */
    enum control_permission permission;
    bool on_health; /* served on the health address as well */
    void (*run)(void *owner, const struct http_request *request, struct http_response *response);
    /* For the documentation: one line; the name behind the path; what the body is, or NULL; further statuses and what
     * each means, a line each, or NULL. 400, 403, 404, 405 and 413 of requests that are wrong are understood. */
    const char *summary, *name, *body, *statuses;
    bool answers_json; /* unless text/plain is asked for */
};

struct control_server_config {
    const struct control_command *commands;
    size_t command_count;
    void *owner; /* of the commands */

    /* Whether a uid may give commands that need `permission`, on the control socket. */
    bool (*is_allowed)(void *owner, uid_t uid, enum control_permission permission);
};

/* http_handlers; their owner is a struct control_server_config. */
void control_on_control_request(void *config, const struct http_request *request, struct http_response *response);
void control_on_admin_request(void *config, const struct http_request *request, struct http_response *response);
void control_on_health_request(void *config, const struct http_request *request, struct http_response *response);

/* Whether a Host header names this machine: `localhost`, 127.0.0.0/8 or [::1], with any port or none. */
bool control_host_is_local(const char *host);

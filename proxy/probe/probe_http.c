/* HTTP and HTTPS: the status line decides (RFC 9112, 4); of the headers only Location matters. */
#include <event2/buffer.h>
#include <openssl/types.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "proxy/probe/probe_private.h"

#define MOST_REDIRECTS 10 /* as the kubelet has it */

static const char *authority_of(const struct probe *probe)
{
    return probe->own.config->host ? probe->own.config->host : probe->authority;
}

static bool has_header(const struct probe_config *config, const char *name)
{
    for (size_t i = 0; i < config->headers.count; i++) {
        if (strcasecmp(config->headers.items[i].name, name) == 0)
            return true;
    }
    return false;
}

static void begin(struct probe *probe)
{
    const struct probe_config *config = probe->own.config;
    struct evbuffer *output = bufferevent_get_output(probe->stream);

    probe->http.status = 0;
    probe->http.location[0] = '\0';
    evbuffer_add_printf(output, "GET %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n", probe->http.path,
                        authority_of(probe));
    if (!has_header(config, "User-Agent"))
        evbuffer_add_printf(output, "User-Agent: kube-probe/outrigger\r\n");
    if (!has_header(config, "Accept"))
        evbuffer_add_printf(output, "Accept: */*\r\n");
    for (size_t i = 0; i < config->headers.count; i++)
        evbuffer_add_printf(output, "%s: %s\r\n", config->headers.items[i].name, config->headers.items[i].value);
    evbuffer_add(output, "\r\n", 2);
}

/* The path of a location at the same place; NULL when it is elsewhere. */
static const char *path_here(const struct probe *probe, const char *location)
{
    const char *scheme = probe->own.tls ? "https://" : "http://", *authority = authority_of(probe);

    if (location[0] == '/' && location[1] != '/')
        return location;
    if (strncasecmp(location, scheme, strlen(scheme)) != 0)
        return NULL;
    location += strlen(scheme);
    if (strncasecmp(location, authority, strlen(authority)) != 0)
        return NULL;
    location += strlen(authority);
    return location[0] == '/' ? location : NULL;
}

/* RFC 9110, 15.4; what the kubelet follows. */
static bool is_redirect(int status)
{
    return (status >= 301 && status <= 303) || status == 307 || status == 308;
}

static void judge(struct probe *probe)
{
    const char *path = probe->http.location[0] != '\0' ? path_here(probe, probe->http.location) : NULL;
    int status = probe->http.status;

    if (is_redirect(status) && path) {
        if (probe->http.redirects++ == MOST_REDIRECTS) {
            probe_finish(probe, 503, "more than %d redirects", MOST_REDIRECTS);
            return;
        }
        snprintf(probe->http.path, sizeof probe->http.path, "%s", path);
        probe->http.path[strcspn(probe->http.path, "# ")] = '\0';
        probe_connect(probe);
        return;
    }
    if (status < 400)
        probe_finish(probe, 200, "ok");
    else
        probe_finish(probe, status, "the app's status is %d", status);
}

/* 0 when it is no status line. */
static int parse_status(const char *line)
{
    if ((strncmp(line, "HTTP/1.1 ", 9) != 0 && strncmp(line, "HTTP/1.0 ", 9) != 0) ||
        strspn(line + 9, "0123456789") != 3 || line[9] == '0')
        return 0;
    return atoi(line + 9);
}

static void take_header(struct probe *probe, const char *line)
{
    const char *value = line + 9;

    if (strncasecmp(line, "Location:", 9) != 0)
        return;
    value += strspn(value, " \t");
    if (strlen(value) < sizeof probe->http.location)
        snprintf(probe->http.location, sizeof probe->http.location, "%s", value);
}

/* Returns whether the head is complete. -1: it is none. */
static int take_line(struct probe *probe, const char *line)
{
    if (probe->http.status == 0) {
        probe->http.status = parse_status(line);
        return probe->http.status == 0 || probe->http.status > 599 ? -1 : 0;
    }
    if (line[0] != '\0') {
        take_header(probe, line);
        return 0;
    }
    if (probe->http.status >= 200)
        return 1;
    probe->http.status = 0; /* interim: another head follows */
    return 0;
}

static void received(struct probe *probe)
{
    struct evbuffer *input = bufferevent_get_input(probe->stream);
    int complete = 0;
    char *line;

    while (complete == 0 && (line = evbuffer_readln(input, NULL, EVBUFFER_EOL_CRLF))) {
        complete = take_line(probe, line);
        free(line);
    }
    if (complete > 0)
        judge(probe);
    else if (complete < 0)
        probe_finish(probe, 503, "the app's answer is not HTTP/1.1");
    else if (evbuffer_get_length(input) >= PROBE_MOST_ANSWER)
        probe_finish(probe, 503, "a line of the app's answer is longer than %d bytes", PROBE_MOST_ANSWER);
}

const struct probe_protocol probe_http = { .begin = begin, .received = received };

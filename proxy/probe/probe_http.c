/* HTTP and HTTPS: the status line decides (RFC 9112, 4); of the headers only Location matters. */
#include <event2/buffer.h>
#include <openssl/types.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "proxy/probe/probe_private.h"

#define MOST_REDIRECTS 10 /* as the kubelet has it */

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
    probe->http.redirect[0] = '\0';
    evbuffer_add_printf(output, "GET %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n", probe->http.location.path,
                        probe->host ? probe->host : probe->authority);
    if (!has_header(config, "User-Agent"))
        evbuffer_add_printf(output, "User-Agent: kube-probe/outrigger\r\n");
    if (!has_header(config, "Accept"))
        evbuffer_add_printf(output, "Accept: */*\r\n");
    for (size_t i = 0; i < config->headers.count; i++)
        evbuffer_add_printf(output, "%s: %s\r\n", config->headers.items[i].name, config->headers.items[i].value);
    evbuffer_add(output, "\r\n", 2);
}

/* RFC 9110, 15.4; what the kubelet follows. */
static bool is_redirect(int status)
{
    return (status >= 301 && status <= 303) || status == 307 || status == 308;
}

/* The host that the location names goes into the request; nobody else's name does any more. */
static void change_authority(struct probe *probe)
{
    sockaddr_set_port(&probe->own.address.any, probe->http.location.port);
    sockaddr_format(&probe->own.address.any, probe->authority);
    probe->host = NULL;
}

static void redirect(struct probe *probe)
{
    switch (location_follow(&probe->http.location, probe->http.redirect)) {
    case LOCATION_ELSEWHERE:
        probe_finish(probe, 200, "ok");
        return;
    case LOCATION_BAD:
        probe_finish(probe, 503, "the app redirects to what cannot be asked");
        return;
    case LOCATION_SAME_HOST:
        change_authority(probe);
        break;
    case LOCATION_SAME_AUTHORITY:
        break;
    }
    if (++probe->http.redirects == MOST_REDIRECTS)
        probe_finish(probe, 503, "stopped after %d redirects", MOST_REDIRECTS);
    else
        probe_connect(probe);
}

static void judge(struct probe *probe)
{
    int status = probe->http.status;

    if (is_redirect(status) && probe->http.redirect[0] != '\0')
        redirect(probe);
    else if (status < 400)
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
    size_t length;

    if (strncasecmp(line, "Location:", 9) != 0)
        return;
    value += strspn(value, " \t");
    length = strlen(value);
    while (length > 0 && (value[length - 1] == ' ' || value[length - 1] == '\t'))
        length--;
    snprintf(probe->http.redirect, sizeof probe->http.redirect, "%.*s", (int)length, value);
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

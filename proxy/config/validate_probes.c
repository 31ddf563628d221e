#include "proxy/config/validate_probes.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#define LETTERS_AND_DIGITS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"

static bool is_made_of(const char *text, const char *allowed)
{
    return text[strspn(text, allowed)] == '\0';
}

/* A path, a host, a header's value: nothing that ends the line, or hides in it. */
static bool has_controls(const char *text, unsigned char from)
{
    for (; *text; text++) {
        if ((unsigned char)*text < from || *text == 0x7f)
            return true;
    }
    return false;
}

static void complain(const struct validate *validate, size_t i, const char *key, const char *problem)
{
    char path[MOST_PATH];

    snprintf(path, sizeof path, "probes[%zu].%s", i, key);
    validate_complain(validate, path, "%s", problem);
}

static void check_header(const struct validate *validate, const struct probe_header_config *header, size_t i, size_t j)
{
    static const char *const own[] = { "Host", "Connection", "Content-Length", "Transfer-Encoding" };
    char key[64];

    if (!header->name || !header->value)
        return; /* reported */
    snprintf(key, sizeof key, "headers[%zu].name", j);
    /* A token (RFC 9110, 5.6.2). */
    if (!is_made_of(header->name, LETTERS_AND_DIGITS "!#$%&'*+-.^_`|~"))
        complain(validate, i, key, "not a header's name; allowed: letters, digits and !#$%&'*+-.^_`|~");
    for (size_t each = 0; each < ARRAY_SIZE(own); each++) {
        if (strcasecmp(header->name, own[each]) == 0)
            complain(validate, i, key, "is the probe's own; Host is set by host");
    }
    snprintf(key, sizeof key, "headers[%zu].value", j);
    if (has_controls(header->value, ' '))
        complain(validate, i, key, "holds a control character; allowed: one line of text");
}

static void check_probe(const struct validate *validate, const struct probe_config *probe, size_t i)
{
    const char *own = validate_own_port(validate->config, (uint16_t)probe->port);
    bool is_http = probe->type == PROBE_HTTP;

    if (own) {
        char problem[96];

        snprintf(problem, sizeof problem, "the port is %s, and the proxy would ask itself", own);
        complain(validate, i, "port", problem);
    }
    if (probe->name && !is_made_of(probe->name, LETTERS_AND_DIGITS "-_./"))
        complain(validate, i, "name", "not a name; allowed: letters, digits, '-', '_', '.' and '/'");
    if (probe->path && (probe->path[0] != '/' || has_controls(probe->path, ' ' + 1)))
        complain(validate, i, "path", "not a path; allowed: a slash, then characters without blanks");
    if (probe->host && has_controls(probe->host, ' ' + 1))
        complain(validate, i, "host", "not a host; allowed: characters without blanks");
    if (!is_http && probe->path && strcmp(probe->path, "/") != 0)
        complain(validate, i, "path", "has no effect; it belongs to type: http");
    if (!is_http && probe->host)
        complain(validate, i, "host", "has no effect; it belongs to type: http");
    if (!is_http && probe->scheme != PROBE_SCHEME_HTTP)
        complain(validate, i, "scheme", "has no effect; it belongs to type: http");
    if (!is_http && probe->headers.count > 0)
        complain(validate, i, "headers", "has no effect; it belongs to type: http");
    if (probe->type != PROBE_GRPC && probe->service)
        complain(validate, i, "service", "has no effect; it belongs to type: grpc");
    for (size_t j = 0; j < probe->headers.count; j++)
        check_header(validate, &probe->headers.items[j], i, j);
}

void validate_probes(const struct validate *validate, const struct probe_list *probes)
{
    for (size_t i = 0; i < probes->count; i++) {
        check_probe(validate, &probes->items[i], i);
        for (size_t j = 0; j < i; j++) {
            if (probes->items[i].name && probes->items[j].name &&
                strcmp(probes->items[i].name, probes->items[j].name) == 0)
                complain(validate, i, "name", "another probe has this name already");
        }
    }
}

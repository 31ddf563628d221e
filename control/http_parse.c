#include "control/http_parse.h"

#include <string.h>
#include <strings.h>

#include "base/units.h"

/* RFC 9110, 5.6.2 */
static const char token_bytes[] = "!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

static const char *skip_spaces(const char *text)
{
    return text + strspn(text, " \t");
}

/* RFC 9112 section 3: method SP request-target SP HTTP-version. Cuts `line` into its parts. */
static bool parse_request_line(char *line, struct http_head *head)
{
    char *path = strchr(line, ' '), *version;

    if (!path || path == line)
        return false;
    *path++ = '\0';
    version = strchr(path, ' ');
    if (!version || path[0] != '/')
        return false;
    *version++ = '\0';
    if (strcmp(version, "HTTP/1.1") != 0 && strcmp(version, "HTTP/1.0") != 0)
        return false;
    head->keep_alive = strcmp(version, "HTTP/1.1") == 0;
    head->method = line;
    head->path = strsep(&path, "?");
    head->query = path ? path : "";
    return true;
}

/* Returns 0 or the status to refuse with. */
static int parse_header(char *line, uint64_t most_body_bytes, struct http_head *head)
{
    char *value = strchr(line, ':');

    if (!value || value == line)
        return 400;
    *value++ = '\0';
    /* RFC 9112, 5.1: "No whitespace is allowed between the field name and colon"; a server must refuse it with 400. */
    if (line[strspn(line, token_bytes)] != '\0')
        return 400;
    value = line + (skip_spaces(value) - line);
    value[strcspn(value, "\r")] = '\0';
    if (strcasecmp(line, "content-length") == 0) {
        uint64_t before = head->body_length;

        /* RFC 9112, 6.3: a message with differing values "is invalid and MUST be handled as an unrecoverable error". */
        if (units_parse_number(value, &head->body_length) < 0 || (head->has_length && head->body_length != before))
            return 400;
        head->has_length = true;
        return head->body_length > most_body_bytes ? 413 : 0;
    }
    if (strcasecmp(line, "transfer-encoding") == 0)
        return 501;
    if (strcasecmp(line, "host") == 0)
        head->host = value;
    if (strcasecmp(line, "content-type") == 0)
        head->content_type = value;
    if (strcasecmp(line, "connection") == 0 && strcasecmp(value, "close") == 0)
        head->keep_alive = false;
    if (strcasecmp(line, "accept") == 0 && strncasecmp(value, "text/plain", strlen("text/plain")) == 0)
        head->wants_text = true;
    return 0;
}

int http_parse_head(char *text, uint64_t most_body_bytes, struct http_head *head)
{
    char *line = strsep(&text, "\n");
    int status;

    *head = (struct http_head){ .host = "", .content_type = "" };
    line[strcspn(line, "\r")] = '\0';
    if (!parse_request_line(line, head))
        return 400;
    while ((line = strsep(&text, "\n"))) {
        if (line[0] == '\0' || line[0] == '\r')
            continue;
        status = parse_header(line, most_body_bytes, head);
        if (status != 0)
            return status;
    }
    return 0;
}

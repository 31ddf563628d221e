#include "proxy/probe/location.h"

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/http.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/macros.h"

/* A path and its query as they are put together. */
struct target {
    char text[LOCATION_MOST_PATH + 1];
    size_t length;
    bool is_too_long;
};

/* Octets that a URI cannot have are escaped (RFC 3986, 2.1); what is escaped already stays. */
static void put(struct target *target, const char *bytes, size_t length)
{
    for (size_t i = 0; i < length && !target->is_too_long; i++) {
        unsigned char byte = (unsigned char)bytes[i];
        bool is_odd = byte <= ' ' || byte >= 0x7f || byte == '\\';
        size_t room = sizeof target->text - target->length;
        size_t written = (size_t)snprintf(target->text + target->length, room, is_odd ? "%%%02X" : "%c", byte);

        target->is_too_long = written >= room;
        target->length += target->is_too_long ? 0 : written;
    }
}

static void drop_segment(struct target *target)
{
    while (target->length > 0 && target->text[--target->length] != '/') {
    }
}

/* RFC 3986, 5.2.4. `path` is empty, or begins with a slash. */
static void put_path(struct target *target, const char *path, size_t length)
{
    if (length == 0)
        put(target, "/", 1);
    while (length > 0) {
        const char *next = memchr(path + 1, '/', length - 1);
        size_t segment = next ? (size_t)(next - path) : length;
        bool is_here = segment == 2 && path[1] == '.', is_above = segment == 3 && path[1] == '.' && path[2] == '.';

        if (is_above)
            drop_segment(target);
        if (!is_here && !is_above)
            put(target, path, segment);
        else if (!next)
            put(target, "/", 1);
        path += segment;
        length -= segment;
    }
}

/* The query ends where a fragment begins, which is nobody's but the client's. */
static bool set_path(struct location *location, const char *path, size_t length, const char *query)
{
    struct target target = { .length = 0 };

    put_path(&target, path, length);
    if (query[0] == '?')
        put(&target, query, strcspn(query, "#"));
    if (target.is_too_long)
        return false;
    memcpy(location->path, target.text, target.length);
    location->path[target.length] = '\0';
    return true;
}

static enum location_verdict follow_relative(struct location *location, const char *reference)
{
    const char *base = location->path, *query = reference + strcspn(reference, "?#");
    char path[2 * LOCATION_MOST_PATH + 2], base_query[LOCATION_MOST_PATH + 1];
    size_t directory = strcspn(base, "?"), length = (size_t)(query - reference);

    snprintf(base_query, sizeof base_query, "%s", base + directory);
    while (length > 0 && directory > 0 && base[directory - 1] != '/')
        directory--;
    if (reference[0] == '/')
        directory = 0;
    else if (length == 0 && query[0] != '?')
        query = base_query;
    if (directory + length >= sizeof path)
        return LOCATION_BAD;
    memcpy(path, base, directory);
    memcpy(path + directory, reference, length);
    return set_path(location, path, directory + length, query) ? LOCATION_SAME_AUTHORITY : LOCATION_BAD;
}

/*
 * `rest` is what follows the scheme and its colon. OpenSSL's parser gets no path: it takes an @ in there for the end of
 * a user's name.
 */
static enum location_verdict follow_absolute(struct location *location, const char *scheme, const char *rest)
{
    enum location_verdict verdict = LOCATION_ELSEWHERE;
    size_t length, path_length;
    char uri[512], *host = NULL;
    int is_tls, port;

    if (strncmp(rest, "//", 2) != 0)
        return LOCATION_ELSEWHERE;
    length = strcspn(rest + 2, "/?#") + 2;
    path_length = strcspn(rest + length, "?#");
    if (length == 2) /* "A recipient [...] MUST reject it as invalid": a host is needed (RFC 9110, 4.2.1) */
        return LOCATION_BAD;
    if ((size_t)snprintf(uri, sizeof uri, "%s:%.*s", scheme, (int)length, rest) >= sizeof uri)
        return LOCATION_ELSEWHERE;   /* longer than any address */
    if (uri[strlen(uri) - 1] == ':') /* an empty port is none (RFC 3986, 3.2.3) */
        uri[strlen(uri) - 1] = '\0';
    if (!OSSL_HTTP_parse_url(uri, &is_tls, NULL, &host, NULL, &port, NULL, NULL, NULL)) {
        ERR_clear_error();
        return LOCATION_BAD;
    }
    if (strcasecmp(host, location->host) == 0)
        verdict = set_path(location, rest + length, path_length, rest + length + path_length) ? LOCATION_SAME_HOST
                                                                                              : LOCATION_BAD;
    if (verdict == LOCATION_SAME_HOST) {
        location->is_tls = is_tls != 0;
        location->port = (uint16_t)port;
    }
    OPENSSL_free(host);
    return verdict;
}

/* 0: it has none (RFC 3986, 3.1). */
static size_t scheme_length(const char *reference)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ",
                      all[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+-.";
    size_t length = strspn(reference, all);

    return strspn(reference, letters) > 0 && reference[length] == ':' ? length : 0;
}

static bool has_controls(const char *reference)
{
    for (; *reference; reference++) {
        if ((unsigned char)*reference < ' ' || *reference == 0x7f)
            return true;
    }
    return false;
}

enum location_verdict location_follow(struct location *location, const char *reference)
{
    static const char *const schemes[] = { "http", "https" };
    size_t length = scheme_length(reference);

    if (has_controls(reference))
        return LOCATION_BAD;
    for (size_t i = 0; i < ARRAY_SIZE(schemes); i++) {
        if (length == strlen(schemes[i]) && strncasecmp(reference, schemes[i], length) == 0)
            return follow_absolute(location, schemes[i], reference + length + 1);
    }
    if (length > 0)
        return LOCATION_ELSEWHERE;
    return strncmp(reference, "//", 2) == 0 ? follow_absolute(location, schemes[location->is_tls], reference)
                                            : follow_relative(location, reference);
}

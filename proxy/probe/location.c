#include "proxy/probe/location.h"

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/http.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/macros.h"

/* What a URI may have: neither controls nor spaces (RFC 3986, 2). */
static bool is_clean(const char *reference)
{
    for (; *reference; reference++) {
        if ((unsigned char)*reference <= ' ' || *reference == 0x7f)
            return false;
    }
    return true;
}

/* 0: it has none (RFC 3986, 3.1). */
static size_t scheme_length(const char *reference)
{
    size_t length = strspn(reference, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+-.");

    return reference[length] == ':' ? length : 0;
}

/* Returns whether it fits. */
static bool set_path(struct location *location, const char *directory, size_t length, const char *rest)
{
    char path[LOCATION_MOST_PATH + 1];
    int written = snprintf(path, sizeof path, "%.*s%.*s", (int)length, directory, (int)strcspn(rest, "#"), rest);

    if (written < 0 || (size_t)written >= sizeof path)
        return false;
    memcpy(location->path, path, (size_t)written + 1);
    return true;
}

static enum location_verdict follow_relative(struct location *location, const char *reference)
{
    size_t length = strcspn(location->path, "?");

    if (reference[0] == '/')
        length = 0;
    while (length > 0 && reference[0] != '?' && reference[0] != '#' && location->path[length - 1] != '/')
        length--;
    return set_path(location, location->path, length, reference) ? LOCATION_SAME_AUTHORITY : LOCATION_BAD;
}

/*
 * `rest` is what follows the scheme and its colon. OpenSSL's parser gets no path: it takes an @ in there for the end of
 * a user's name.
 */
static enum location_verdict follow_absolute(struct location *location, const char *scheme, const char *rest)
{
    enum location_verdict verdict = LOCATION_ELSEWHERE;
    char uri[LOCATION_MOST_PATH + 16], *host = NULL;
    int is_tls, port;
    size_t length;

    if (strncmp(rest, "//", 2) != 0)
        return LOCATION_BAD;
    length = 2 + strcspn(rest + 2, "/?#");
    if ((size_t)snprintf(uri, sizeof uri, "%s:%.*s", scheme, (int)length, rest) >= sizeof uri)
        return LOCATION_BAD;
    if (!OSSL_HTTP_parse_url(uri, &is_tls, NULL, &host, NULL, &port, NULL, NULL, NULL)) {
        ERR_clear_error();
        return LOCATION_BAD;
    }
    if (strcasecmp(host, location->host) == 0)
        verdict = set_path(location, "/", rest[length] != '/', rest + length) ? LOCATION_SAME_HOST : LOCATION_BAD;
    if (verdict == LOCATION_SAME_HOST) {
        location->is_tls = is_tls != 0;
        location->port = (uint16_t)port;
    }
    OPENSSL_free(host);
    return verdict;
}

enum location_verdict location_follow(struct location *location, const char *reference)
{
    static const char *const schemes[] = { "http", "https" };
    size_t length = scheme_length(reference);

    if (!is_clean(reference))
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

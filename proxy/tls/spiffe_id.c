#include "proxy/tls/spiffe_id.h"

#include <errno.h>
#include <string.h>

/* Section 2: "Valid SPIFFE IDs MUST use the `spiffe` scheme". */
static const char scheme[] = "spiffe://";

#define SCHEME_LENGTH (sizeof scheme - 1)

static bool is_lower_or_digit(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

static bool is_domain_byte(char c)
{
    return is_lower_or_digit(c) || c == '.' || c == '-' || c == '_';
}

/* No percent encoding, so that one identity has one text; no `?` and no `#`: section 2, "MUST NOT include a query or
 * fragment component". */
static bool is_path_byte(char c)
{
    return is_domain_byte(c) || (c >= 'A' && c <= 'Z');
}

/* Section 2.1: "The `userinfo` and `port` parts of the authority component MUST NOT be set": neither `@` nor `:`. */
bool spiffe_trust_domain_is_valid(const char *text, size_t length)
{
    if (length == 0 || length > TRUST_DOMAIN_MOST_BYTES)
        return false;
    for (size_t i = 0; i < length; i++) {
        if (!is_domain_byte(text[i]))
            return false;
    }
    return true;
}

static size_t segment_length(const char *text, size_t length)
{
    const char *end = memchr(text, '/', length);

    return end ? (size_t)(end - text) : length;
}

static bool is_star(const char *segment, size_t length)
{
    return length == 1 && segment[0] == '*';
}

/* One segment; NULL, or what is wrong with it. */
static const char *check_segment(const char *segment, size_t length, bool may_be_star)
{
    if (length == 0)
        return "its path has an empty segment";
    if ((length == 1 && segment[0] == '.') || (length == 2 && segment[0] == '.' && segment[1] == '.'))
        return "its path has a relative segment";
    if (may_be_star && is_star(segment, length))
        return NULL;
    for (size_t i = 0; i < length; i++) {
        if (!is_path_byte(segment[i]))
            return may_be_star && segment[i] == '*' ? "a star stands for a whole segment"
                                                    : "its path has a character that is not allowed";
    }
    return NULL;
}

static const char *check_path(const char *path, size_t length, bool may_have_stars)
{
    const char *problem = NULL;

    for (size_t at = 0; !problem && at < length;) {
        size_t segment;

        at++; /* the slash */
        segment = segment_length(path + at, length - at);
        problem = check_segment(path + at, segment, may_have_stars);
        at += segment;
    }
    return problem;
}

static int parse(const char *text, size_t length, bool may_have_stars, struct spiffe_id *ret_id,
                 const char **ret_problem)
{
    size_t domain;

    if (length > SPIFFE_ID_MOST_BYTES) {
        *ret_problem = "it is longer than 2048 bytes";
        return -EINVAL;
    }
    if (length < SCHEME_LENGTH || memcmp(text, scheme, SCHEME_LENGTH) != 0) {
        *ret_problem = "its scheme is not spiffe://";
        return -EINVAL;
    }
    domain = segment_length(text + SCHEME_LENGTH, length - SCHEME_LENGTH);
    if (!spiffe_trust_domain_is_valid(text + SCHEME_LENGTH, domain)) {
        *ret_problem = "its trust domain is empty, too long or has a character that is not allowed";
        return -EINVAL;
    }
    *ret_problem = check_path(text + SCHEME_LENGTH + domain, length - SCHEME_LENGTH - domain, may_have_stars);
    if (*ret_problem)
        return -EINVAL;
    *ret_id = (struct spiffe_id){ text, length, SCHEME_LENGTH + domain };
    return 0;
}

int spiffe_id_parse(const char *text, size_t length, struct spiffe_id *ret_id, const char **ret_problem)
{
    return parse(text, length, false, ret_id, ret_problem);
}

int spiffe_pattern_parse(const char *text, size_t length, struct spiffe_id *ret_pattern, const char **ret_problem)
{
    return parse(text, length, true, ret_pattern, ret_problem);
}

bool spiffe_id_has_path(const struct spiffe_id *id)
{
    return id->path < id->length;
}

bool spiffe_id_equals(const struct spiffe_id *one, const struct spiffe_id *other)
{
    return one->length == other->length && one->length > 0 && memcmp(one->text, other->text, one->length) == 0;
}

bool spiffe_id_is_in(const struct spiffe_id *id, const char *trust_domain)
{
    size_t length = strlen(trust_domain);

    return id->length > 0 && id->path == SCHEME_LENGTH + length &&
           memcmp(id->text + SCHEME_LENGTH, trust_domain, length) == 0;
}

bool spiffe_pattern_matches(const struct spiffe_id *pattern, const struct spiffe_id *id)
{
    const char *wanted = pattern->text + pattern->path, *path = id->text + id->path;
    size_t wanted_left = pattern->length - pattern->path, left = id->length - id->path;

    if (id->length == 0 || pattern->length == 0 || pattern->path != id->path ||
        memcmp(pattern->text, id->text, id->path) != 0)
        return false;
    while (wanted_left > 0 && left > 0) {
        size_t wanted_segment = segment_length(wanted + 1, wanted_left - 1);
        size_t segment = segment_length(path + 1, left - 1);

        if (!is_star(wanted + 1, wanted_segment) &&
            (wanted_segment != segment || memcmp(wanted + 1, path + 1, segment) != 0))
            return false;
        wanted += 1 + wanted_segment;
        wanted_left -= 1 + wanted_segment;
        path += 1 + segment;
        left -= 1 + segment;
    }
    return wanted_left == 0 && left == 0;
}

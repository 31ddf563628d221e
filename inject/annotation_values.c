#include "inject/annotation_values.h"

#include <stdlib.h>
#include <string.h>

#include "base/cidr.h"
#include "base/macros.h"
#include "base/port_range.h"
#include "base/units.h"

#define DIGITS  "0123456789"
#define LETTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"

static bool is_any(const char *text)
{
    return text[strspn(text, " \t\r\n")] != '\0';
}

/* An image, without blanks. */
static bool is_word(const char *text)
{
    return text[0] != '\0' && !strpbrk(text, " \t\r\n");
}

static bool is_duration(const char *text)
{
    uint64_t ms;

    return units_parse_duration(text, &ms) == 0 && ms <= 3600000;
}

bool annotation_value_quantity(const char *text, double *ret_milli)
{
    static const struct {
        const char *name;
        double milli;
    } suffixes[] = {
        { "", 1e3 },   { "m", 1 },       { "k", 1e6 },        { "M", 1e9 },
        { "G", 1e12 }, { "Ki", 1024e3 }, { "Mi", 1048576e3 }, { "Gi", 1073741824e3 },
    };
    size_t whole = strspn(text, DIGITS), length = whole;

    if (whole == 0 || whole > 15)
        return false;
    if (text[whole] == '.')
        length += 1 + strspn(text + whole + 1, DIGITS);
    if (length == whole + 1)
        return false;
    for (size_t i = 0; i < ARRAY_SIZE(suffixes); i++) {
        if (strcmp(text + length, suffixes[i].name) == 0) {
            *ret_milli = strtod(text, NULL) * suffixes[i].milli;
            return true;
        }
    }
    return false;
}

static bool is_quantity(const char *text)
{
    double milli;

    return annotation_value_quantity(text, &milli);
}

#define MOST_LIST 1024

/* Calls `check` for each word between commas; a text without any is an empty list. */
static bool is_list(const char *text, bool (*check)(const char *word))
{
    char words[MOST_LIST], *rest = words, *word;

    if (strlen(text) >= sizeof words)
        return false;
    strcpy(words, text);
    while (text[0] != '\0' && (word = strsep(&rest, ","))) {
        word += strspn(word, " ");
        for (size_t length = strlen(word); length > 0 && word[length - 1] == ' '; length--)
            word[length - 1] = '\0';
        if (word[0] == '\0' || !check(word))
            return false;
    }
    return true;
}

/* IPv4 as IPv6 writes it is no block of what is on the wire. */
static bool is_cidr(const char *word)
{
    static const struct cidr mapped = { .family = AF_INET6, .prefix = 96, .bytes = { [10] = 0xff, [11] = 0xff } };
    const char *problem;
    struct cidr cidr;
    bool cleared;

    return cidr_parse_network(word, &cidr, &cleared, &problem) == 0 && !cidr_within(&cidr, &mapped);
}

static bool is_port(const char *word)
{
    struct port_range range;
    const char *problem;

    return port_range_parse(word, &range, &problem) == 0;
}

/* As outrigger-init has it: a last `*` or `+` stands for any rest. */
static bool is_interface(const char *word)
{
    size_t length = strspn(word, LETTERS DIGITS "._-@");

    if (length == 0 || strlen(word) > 15 || strcmp(word, ".") == 0 || strcmp(word, "..") == 0)
        return false;
    return word[length] == '\0' || ((word[length] == '*' || word[length] == '+') && word[length + 1] == '\0');
}

/* An object's name (RFC 1123). */
static bool is_name(const char *text)
{
    size_t length = strlen(text);

    return length > 0 && length <= 253 && strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789-.") == length;
}

/* Whether it is one of the words that `allowed` has with commas between them. */
static bool is_one_of(const char *text, const char *allowed)
{
    size_t length = strlen(text);

    for (const char *word = allowed; word; word = strchr(word, ',')) {
        word += strspn(word, ", ");
        if (length > 0 && strcspn(word, ",") == length && strncmp(word, text, length) == 0)
            return true;
    }
    return false;
}

/* Neither `fits` nor `each`: one of the words that are allowed. */
static const struct {
    bool (*fits)(const char *text);
    bool (*each)(const char *word); /* of a list */
    bool may_be_all;                /* or `*` */
    const char *allowed;
} kinds[] = {
    [ANNOTATES_BOOL] = { .allowed = "true, false" },
    [ANNOTATES_SIDECAR] = { .allowed = "native, ordinary" },
    [ANNOTATES_LOG_LEVEL] = { .allowed = "error, warning, info, debug" },
    [ANNOTATES_TLS_MODE] = { .allowed = "disabled, permissive, strict" },
    [ANNOTATES_MODE] = { .allowed = "redirect, tproxy" },
    [ANNOTATES_IMAGE] = { is_word, .allowed = "an image" },
    [ANNOTATES_CONFIGURATION] = { is_any, .allowed = "a configuration, as in docs/configuration.md" },
    [ANNOTATES_CONFIG_MAP] = { is_name, .allowed = "the name of a ConfigMap with the key outrigger.yaml" },
    [ANNOTATES_SECRET] = { is_name, .allowed = "the name of a Secret with tls.crt, tls.key and ca.crt" },
    [ANNOTATES_CSI_DRIVER] = { is_name, .allowed = "the name of a CSI driver, such as spiffe.csi.cert-manager.io" },
    [ANNOTATES_DURATION] = { is_duration, .allowed = "a duration up to 1h, such as 5s or 500ms" },
    [ANNOTATES_QUANTITY] = { is_quantity, .allowed = "a number with m, k, M, G, Ki, Mi or Gi, such as 100m or 64Mi" },
    [ANNOTATES_CIDRS_OR_ALL] = { .each = is_cidr,
                                 .may_be_all = true,
                                 .allowed = "blocks with commas between them, such as 10.0.0.0/8,fd00::/8, or *" },
    [ANNOTATES_CIDRS] = { .each = is_cidr, .allowed = "blocks with commas between them, such as 10.0.0.0/8,fd00::/8" },
    [ANNOTATES_PORTS_OR_ALL] = { .each = is_port,
                                 .may_be_all = true,
                                 .allowed = "ports and ranges with commas between them, such as 80,8000-8010, or *" },
    [ANNOTATES_PORTS] = { .each = is_port,
                          .allowed = "ports and ranges with commas between them, such as 80,8000-8010" },
    [ANNOTATES_INTERFACES] = { .each = is_interface, .allowed = "names of interfaces with commas between them" },
};

bool annotation_value_fits(enum annotation_value value, const char *text)
{
    if (kinds[value].may_be_all && strcmp(text, "*") == 0)
        return true;
    if (kinds[value].each)
        return is_list(text, kinds[value].each);
    return kinds[value].fits ? kinds[value].fits(text) : is_one_of(text, kinds[value].allowed);
}

const char *annotation_value_allowed(enum annotation_value value)
{
    return kinds[value].allowed;
}

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

static bool is_bool(const char *text)
{
    return strcmp(text, "true") == 0 || strcmp(text, "false") == 0;
}

static bool is_sidecar(const char *text)
{
    return strcmp(text, "native") == 0 || strcmp(text, "ordinary") == 0;
}

static bool is_tls_mode(const char *text)
{
    return strcmp(text, "disabled") == 0 || strcmp(text, "permissive") == 0 || strcmp(text, "strict") == 0;
}

static bool is_mode(const char *text)
{
    return strcmp(text, "redirect") == 0 || strcmp(text, "tproxy") == 0;
}

static bool is_duration(const char *text)
{
    uint64_t ms;

    return units_parse_duration(text, &ms) == 0 && ms <= 3600000;
}

static bool is_level(const char *text)
{
    return strcmp(text, "error") == 0 || strcmp(text, "warning") == 0 || strcmp(text, "info") == 0 ||
           strcmp(text, "debug") == 0;
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

static bool are_cidrs(const char *text)
{
    return is_list(text, is_cidr);
}

static bool are_ports(const char *text)
{
    return is_list(text, is_port);
}

/* What is included may be everything. */
static bool are_cidrs_or_all(const char *text)
{
    return strcmp(text, "*") == 0 || are_cidrs(text);
}

static bool are_ports_or_all(const char *text)
{
    return strcmp(text, "*") == 0 || are_ports(text);
}

/* An object's name (RFC 1123). */
static bool is_name(const char *text)
{
    size_t length = strlen(text);

    return length > 0 && length <= 253 && strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789-.") == length;
}

static bool are_interfaces(const char *text)
{
    return is_list(text, is_interface);
}

static const struct {
    bool (*fits)(const char *text);
    const char *allowed;
} kinds[] = {
    [ANNOTATES_BOOL] = { is_bool, "true, false" },
    [ANNOTATES_SIDECAR] = { is_sidecar, "native, ordinary" },
    [ANNOTATES_IMAGE] = { is_word, "an image" },
    [ANNOTATES_CONFIGURATION] = { is_any, "a configuration, as in docs/configuration.md" },
    [ANNOTATES_CONFIG_MAP] = { is_name, "the name of a ConfigMap with the key outrigger.yaml" },
    [ANNOTATES_LOG_LEVEL] = { is_level, "error, warning, info, debug" },
    [ANNOTATES_SECRET] = { is_name, "the name of a Secret with tls.crt, tls.key and ca.crt" },
    [ANNOTATES_CSI_DRIVER] = { is_name, "the name of a CSI driver, such as spiffe.csi.cert-manager.io" },
    [ANNOTATES_TLS_MODE] = { is_tls_mode, "disabled, permissive, strict" },
    [ANNOTATES_DURATION] = { is_duration, "a duration up to 1h, such as 5s or 500ms" },
    [ANNOTATES_QUANTITY] = { is_quantity, "a number with m, k, M, G, Ki, Mi or Gi, such as 100m or 64Mi" },
    [ANNOTATES_MODE] = { is_mode, "redirect, tproxy" },
    [ANNOTATES_CIDRS_OR_ALL] = { are_cidrs_or_all,
                                 "blocks with commas between them, such as 10.0.0.0/8,fd00::/8, or *" },
    [ANNOTATES_CIDRS] = { are_cidrs, "blocks with commas between them, such as 10.0.0.0/8,fd00::/8" },
    [ANNOTATES_PORTS_OR_ALL] = { are_ports_or_all,
                                 "ports and ranges with commas between them, such as 80,8000-8010, or *" },
    [ANNOTATES_PORTS] = { are_ports, "ports and ranges with commas between them, such as 80,8000-8010" },
    [ANNOTATES_INTERFACES] = { are_interfaces, "names of interfaces with commas between them" },
};

bool annotation_value_fits(enum annotation_value value, const char *text)
{
    return kinds[value].fits(text);
}

const char *annotation_value_allowed(enum annotation_value value)
{
    return kinds[value].allowed;
}

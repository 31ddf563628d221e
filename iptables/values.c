#include "iptables/values.h"

#include <ctype.h>
#include <errno.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/units.h"
#include "iptables/complain.h"
#include "iptables/options.h"

static int parse_port(const char *source, const char *text, void *at)
{
    uint64_t port;

    if (units_parse_number(text, &port) < 0 || port < 1 || port > 65535)
        return complain_of_value(source, text, "a port is a number from 1 to 65535");
    memcpy(at, &port, sizeof port);
    return 0;
}

static int parse_duration(const char *source, const char *text, void *at)
{
    uint64_t ms;

    if (units_parse_duration(text, &ms) < 0 || ms < 1 || ms > 600000)
        return complain_of_value(source, text, "allowed: 1ms to 10m, as 500ms, 5s, 1m");
    memcpy(at, &ms, sizeof ms);
    return 0;
}

static int parse_u32(const char *source, const char *text, uint64_t least, const char *why, void *at)
{
    uint64_t number;
    uint32_t stored;

    if (units_parse_number(text, &number) < 0 || number < least || number > UINT32_MAX)
        return complain_of_value(source, text, why);
    stored = (uint32_t)number;
    memcpy(at, &stored, sizeof stored);
    return 0;
}

static int parse_table(const char *source, const char *text, void *at)
{
    const char *why =
        "a routing table of its own is a number from 1 to 4294967295, but for 253 to 255, which are taken";
    uint32_t table;
    int r = parse_u32(source, text, 1, why, &table);

    if (r == 0 && table >= RT_TABLE_DEFAULT && table <= RT_TABLE_LOCAL)
        return complain_of_value(source, text, why);
    if (r == 0)
        memcpy(at, &table, sizeof table);
    return r;
}

static int parse_mode(const char *source, const char *text, void *at)
{
    uint64_t mode;

    if (strcasecmp(text, "redirect") == 0)
        mode = MODE_REDIRECT;
    else if (strcasecmp(text, "tproxy") == 0)
        mode = MODE_TPROXY;
    else
        return complain_of_value(source, text, "allowed: redirect, tproxy");
    memcpy(at, &mode, sizeof mode);
    return 0;
}

static int parse_text(const char *text, void *at)
{
    char *copy = strdup(text);

    if (copy)
        memcpy(at, &copy, sizeof copy);
    return copy ? 0 : -ENOMEM;
}

static bool is_among(const char *text, const char *const *words)
{
    while (*words && strcmp(text, *words) != 0)
        words++;
    return *words;
}

/* The words of Go's flags too, which istio-iptables and proxy-init have. */
static int parse_switch(const char *source, const char *text, void *at)
{
    static const char *const words_for_on[] = { "true", "on", "1", "t", "T", "TRUE", "True", NULL };
    static const char *const words_for_off[] = { "false", "off", "0", "f", "F", "FALSE", "False", NULL };
    bool on = is_among(text, words_for_on);

    if (!on && !is_among(text, words_for_off))
        return complain_of_value(source, text, "allowed: true or false, on or off");
    memcpy(at, &on, sizeof on);
    return 0;
}

static int parse_id(const char *source, const char *word, void *at)
{
    uint32_t id;
    uint64_t number;

    if (units_parse_number(word, &number) < 0 || number < 1 || number >= UINT32_MAX)
        return complain_of_value(
            source, word,
            "a uid or gid is a number from 1 to 4294967294 (with 0, all of root's traffic would go past the proxy)");
    id = (uint32_t)number;
    memcpy(at, &id, sizeof id);
    return 0;
}

static int parse_group(const char *source, const char *word, void *at)
{
    if (strcmp(word, "4294967295") == 0) /* (gid_t)-1 is none */
        return complain_of_value(source, word, "a group is its gid, a number from 0 to 4294967294");
    return parse_u32(source, word, 0, "a group is its gid, a number from 0 to 4294967294", at);
}

/* A block whose address has bits behind its prefix is its network, as iptables has it. */
static int parse_block(const char *source, const char *word, void *at)
{
    struct cidr mapped = { .family = AF_INET6, .prefix = 96, .bytes = { [10] = 0xff, [11] = 0xff } }, block;
    char text[CIDR_TEXT_SIZE];
    const char *why;
    bool cleared;

    if (cidr_parse_network(word, &block, &cleared, &why) < 0)
        return complain_of_value(source, word, why);
    if (cidr_within(&block, &mapped))
        return complain_of_value(source, word, "such connections are IPv4; write the IPv4 block");
    if (cleared)
        fprintf(stderr, "outrigger-init: %s: %s is taken as %s\n", source, word, cidr_format(&block, text));
    memcpy(at, &block, sizeof block);
    return 0;
}

/* iptables writes ranges with a colon. */
static int parse_range(const char *source, char *word, void *at)
{
    const char *why;
    char *colon = strchr(word, ':');

    if (colon)
        *colon = '-';
    return port_range_parse(word, at, &why) < 0 ? complain_of_value(source, word, why) : 0;
}

/* iptables writes `eth+` for what nft writes as `eth*`. */
static int parse_interface(const char *source, const char *word, void *at)
{
    char *name = at;
    size_t length = strlen(word);
    bool allowed = length > 0 && length < IFNAMSIZ && strcmp(word, "*") != 0 && strcmp(word, "+") != 0;

    for (size_t i = 0; allowed && i < length; i++) {
        bool last = i + 1 == length && (word[i] == '*' || word[i] == '+');

        allowed = last || (isgraph((unsigned char)word[i]) && !strchr("/\"\\*", word[i]));
    }
    if (!allowed || strcmp(word, ".") == 0 || strcmp(word, "..") == 0)
        return complain_of_value(source, word,
                                 "an interface is a name of 1 to 15 characters, a last * standing for any rest");
    memcpy(name, word, length + 1);
    if (name[length - 1] == '+')
        name[length - 1] = '*';
    return 0;
}

static size_t item_size(enum value_type type)
{
    switch (type) {
    case VALUE_IDS:
    case VALUE_GROUPS:
        return sizeof(uint32_t);
    case VALUE_BLOCKS:
        return sizeof(struct cidr);
    case VALUE_INTERFACES:
        return IFNAMSIZ;
    default:
        return sizeof(struct port_range);
    }
}

static int parse_item(enum value_type type, const char *source, char *word, void *item)
{
    switch (type) {
    case VALUE_IDS:
        return parse_id(source, word, item);
    case VALUE_GROUPS:
        return parse_group(source, word, item);
    case VALUE_BLOCKS:
        return parse_block(source, word, item);
    case VALUE_INTERFACES:
        return parse_interface(source, word, item);
    default:
        return parse_range(source, word, item);
    }
}

static void store_list(enum value_type type, void *at, bool all, void *items, size_t count)
{
    values_done(type, at);
    switch (type) {
    case VALUE_IDS:
    case VALUE_GROUPS:
        *(struct id_list *)at = (struct id_list){ all, items, count };
        break;
    case VALUE_BLOCKS:
        *(struct block_list *)at = (struct block_list){ all, items, count };
        break;
    case VALUE_INTERFACES:
        *(struct interface_list *)at = (struct interface_list){ items, count };
        break;
    default:
        *(struct range_list *)at = (struct range_list){ all, items, count };
        break;
    }
}

/* Without the blanks around it; in place. */
static char *trim(char *word)
{
    char *end;

    word += strspn(word, " \t");
    end = word + strlen(word);
    while (end > word && (end[-1] == ' ' || end[-1] == '\t'))
        end--;
    *end = '\0';
    return word;
}

/* Words with commas between; an empty text is an empty list. */
static int parse_list(enum value_type type, const char *source, const char *text, void *at)
{
    bool all, has_gap = false;
    char *copy = strdup(text), *items = calloc(OPTIONS_MOST_ITEMS, item_size(type)), *rest, *word;
    size_t count = 0;
    int r = 0;

    if (!copy || !items) {
        free(copy);
        free(items);
        return -ENOMEM;
    }
    rest = trim(copy);
    all = (type == VALUE_GROUPS || type == VALUE_BLOCKS || type == VALUE_RANGES) && strcmp(rest, "*") == 0;
    if (all || rest[0] == '\0')
        rest = NULL;
    while ((word = strsep(&rest, ","))) {
        word = trim(word);
        if (word[0] == '\0')
            has_gap = true;
        else if (count == OPTIONS_MOST_ITEMS) {
            r = complain_of_value(source, text, "at most 256 entries are allowed");
            break;
        } else if (parse_item(type, source, word, items + count * item_size(type)) < 0)
            r = -EINVAL;
        else
            count++;
    }
    if (has_gap)
        r = complain_of_value(source, text, "an entry between the commas is empty");
    free(copy);
    store_list(type, at, all, items, count);
    return r;
}

int values_parse(enum value_type type, const char *source, const char *text, void *at)
{
    switch (type) {
    case VALUE_PORT:
        return parse_port(source, text, at);
    case VALUE_DURATION:
        return parse_duration(source, text, at);
    case VALUE_NUMBER:
        return parse_u32(source, text, 1, "allowed: 1 to 4294967295", at);
    case VALUE_ID:
        return parse_u32(source, text, 0, "a uid or gid is a number from 0 to 4294967295", at);
    case VALUE_TABLE:
        return parse_table(source, text, at);
    case VALUE_MODE:
        return parse_mode(source, text, at);
    case VALUE_TEXT:
        values_done(type, at);
        return parse_text(text, at);
    case VALUE_SWITCH:
        return parse_switch(source, text, at);
    default:
        return parse_list(type, source, text, at);
    }
}

void values_done(enum value_type type, void *at)
{
    switch (type) {
    case VALUE_TEXT:
        free(*(char **)at);
        *(char **)at = NULL;
        break;
    case VALUE_IDS:
    case VALUE_GROUPS:
        free(((struct id_list *)at)->items);
        break;
    case VALUE_BLOCKS:
        free(((struct block_list *)at)->items);
        break;
    case VALUE_INTERFACES:
        free(((struct interface_list *)at)->items);
        break;
    case VALUE_RANGES:
        free(((struct range_list *)at)->items);
        break;
    default:
        break;
    }
}

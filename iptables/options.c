#include "iptables/options.h"

#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/macros.h"
#include "base/suggest.h"
#include "base/units.h"

#define ENVIRONMENT_PREFIX "OUTRIGGER_INIT_"

enum option_type {
    OPTION_PORT,     /* uint64_t */
    OPTION_DURATION, /* uint64_t milliseconds */
    OPTION_IDS,      /* struct id_list */
    OPTION_BLOCKS,   /* struct block_list */
    OPTION_RANGES,   /* struct range_list */
    OPTION_SWITCH,   /* bool */
};

/* One row an option: parsing, environment variable and help come from it. */
struct option_row {
    const char *name;
    char letter; /* 0: none */
    enum option_type type;
    size_t offset;
    const char *def;
    const char *help;
};

#define AT(member) offsetof(struct options, member)

static const struct option_row rows[] = {
    { "outbound-port", 'p', OPTION_PORT, AT(outbound_port), "15001", "where outgoing connections are sent" },
    { "inbound-port", 'z', OPTION_PORT, AT(inbound_port), "15006", "where incoming connections are sent" },
    { "proxy-uid", 'u', OPTION_IDS, AT(proxy_uids), "1337", "uids whose own connections are not captured" },
    { "proxy-gid", 'g', OPTION_IDS, AT(proxy_gids), "1337", "gids whose own connections are not captured" },
    { "include-outbound-cidrs", 'i', OPTION_BLOCKS, AT(include_outbound_cidrs), "*",
      "destinations to capture; * = all" },
    { "exclude-outbound-cidrs", 'x', OPTION_BLOCKS, AT(exclude_outbound_cidrs), "", "destinations to leave alone" },
    { "include-outbound-ports", 'q', OPTION_RANGES, AT(include_outbound_ports), "",
      "ports to capture whatever the destination" },
    { "exclude-outbound-ports", 'o', OPTION_RANGES, AT(exclude_outbound_ports), "", "outgoing ports to leave alone" },
    { "include-inbound-ports", 'b', OPTION_RANGES, AT(include_inbound_ports), "*",
      "incoming ports to capture; * = all" },
    { "exclude-inbound-ports", 'd', OPTION_RANGES, AT(exclude_inbound_ports), "",
      "incoming ports to leave alone (15000 and 15021 always are)" },
    { "dry-run", 'n', OPTION_SWITCH, AT(dry_run), NULL, "print the rules as `nft -f` reads them; change nothing" },
    { "no-verify", 0, OPTION_SWITCH, AT(no_verify), NULL, "do not prove the rules with a connection" },
    { "verify-timeout", 0, OPTION_DURATION, AT(verify_timeout_ms), "5s", "how long that may take" },
    { "help", 'h', OPTION_SWITCH, AT(help), NULL, "print this" },
    { "version", 0, OPTION_SWITCH, AT(version), NULL, "print the version" },
};

static const char *const subcommands[] = { "apply", "verify", "show", "remove" };

static int complain(const char *source, const char *value, const char *why)
{
    fprintf(stderr, "outrigger-init: %s: \"%s\": %s\n", source, value, why);
    return -EINVAL;
}

static int parse_port(const char *source, const char *text, void *at)
{
    uint64_t port;

    if (units_parse_number(text, &port) < 0 || port < 1 || port > 65535)
        return complain(source, text, "a port is a number from 1 to 65535");
    memcpy(at, &port, sizeof port);
    return 0;
}

static int parse_duration(const char *source, const char *text, void *at)
{
    uint64_t ms;

    if (units_parse_duration(text, &ms) < 0 || ms < 1 || ms > 600000)
        return complain(source, text, "allowed: 1ms to 10m, as 500ms, 5s, 1m");
    memcpy(at, &ms, sizeof ms);
    return 0;
}

static int parse_id(const char *source, const char *word, uint32_t *ret_id)
{
    uint64_t id;

    if (units_parse_number(word, &id) < 0 || id < 1 || id >= UINT32_MAX)
        return complain(
            source, word,
            "a uid or gid is a number from 1 to 4294967294 (with 0, all of root's traffic would go past the proxy)");
    *ret_id = (uint32_t)id;
    return 0;
}

static int parse_block(const char *source, const char *word, struct cidr *ret_block)
{
    const char *why;

    return cidr_parse(word, ret_block, &why) < 0 ? complain(source, word, why) : 0;
}

static int parse_range(const char *source, const char *word, struct port_range *ret_range)
{
    const char *why;

    return port_range_parse(word, ret_range, &why) < 0 ? complain(source, word, why) : 0;
}

static size_t item_size(enum option_type type)
{
    switch (type) {
    case OPTION_IDS:
        return sizeof(uint32_t);
    case OPTION_BLOCKS:
        return sizeof(struct cidr);
    default:
        return sizeof(struct port_range);
    }
}

static int parse_item(enum option_type type, const char *source, const char *word, void *item)
{
    switch (type) {
    case OPTION_IDS:
        return parse_id(source, word, item);
    case OPTION_BLOCKS:
        return parse_block(source, word, item);
    default:
        return parse_range(source, word, item);
    }
}

static void store_list(enum option_type type, void *at, bool all, void *items, size_t count)
{
    if (type == OPTION_IDS) {
        struct id_list *list = at;

        free(list->items);
        *list = (struct id_list){ items, count };
    } else if (type == OPTION_BLOCKS) {
        struct block_list *list = at;

        free(list->items);
        *list = (struct block_list){ all, items, count };
    } else {
        struct range_list *list = at;

        free(list->items);
        *list = (struct range_list){ all, items, count };
    }
}

/* Words with commas between; an empty text is an empty list. */
static int parse_list(enum option_type type, const char *source, const char *text, void *at)
{
    char *copy, *rest, *word, *items;
    size_t count = 0;
    int r = 0;

    if (type != OPTION_IDS && strcmp(text, "*") == 0) {
        store_list(type, at, true, NULL, 0);
        return 0;
    }
    copy = strdup(text);
    items = calloc(OPTIONS_MOST_ITEMS, item_size(type));
    if (!copy || !items) {
        free(copy);
        free(items);
        return -ENOMEM;
    }
    rest = text[0] == '\0' ? NULL : copy;
    while (r != -ENOMEM && (word = strsep(&rest, ","))) {
        int one;

        if (count == OPTIONS_MOST_ITEMS) {
            r = complain(source, text, "at most 256 entries are allowed");
            break;
        }
        one = parse_item(type, source, word, items + count * item_size(type));
        if (one == 0)
            count++;
        else
            r = one;
    }
    free(copy);
    store_list(type, at, false, items, count);
    return r;
}

static int parse_switch(const char *source, const char *text, void *at)
{
    bool on = strcmp(text, "true") == 0 || strcmp(text, "1") == 0 || strcmp(text, "on") == 0;

    if (!on && strcmp(text, "false") != 0 && strcmp(text, "0") != 0 && strcmp(text, "off") != 0)
        return complain(source, text, "allowed: true or false");
    memcpy(at, &on, sizeof on);
    return 0;
}

static int parse_value(const struct option_row *row, const char *source, const char *text, struct options *options)
{
    void *at = (char *)options + row->offset;

    if (strncmp(row->name, "exclude-", strlen("exclude-")) == 0 && strcmp(text, "*") == 0)
        return complain(source, text, "everything cannot be excluded; capture less with the include options instead");

    switch (row->type) {
    case OPTION_PORT:
        return parse_port(source, text, at);
    case OPTION_DURATION:
        return parse_duration(source, text, at);
    case OPTION_SWITCH:
        return parse_switch(source, text, at);
    default:
        return parse_list(row->type, source, text, at);
    }
}

/* Keeps the worst of what happened so far. */
static int worse(int so_far, int r)
{
    return so_far == -ENOMEM || r == 0 ? so_far : r;
}

static int parse_environment(struct options *options)
{
    int worst = 0;

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        char name[64];
        const char *value;

        snprintf(name, sizeof name, ENVIRONMENT_PREFIX "%s", rows[i].name);
        for (char *c = name; *c; c++)
            *c = *c == '-' ? '_' : (char)toupper((unsigned char)*c);
        value = getenv(name);
        if (value)
            worst = worse(worst, parse_value(&rows[i], name, value, options));
    }
    return worst;
}

static int complain_unknown(const char *word)
{
    const char *names[ARRAY_SIZE(rows)];
    int nearest;

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        names[i] = rows[i].name;
    nearest = suggest_nearest(word + strspn(word, "-"), names, ARRAY_SIZE(rows));
    if (nearest >= 0)
        fprintf(stderr, "outrigger-init: unknown option \"%s\"; did you mean --%s?\n", word, names[nearest]);
    else
        fprintf(stderr, "outrigger-init: unknown option \"%s\"; see --help\n", word);
    return -EINVAL;
}

static int parse_words(int argc, char **argv, struct options *options)
{
    struct option known[ARRAY_SIZE(rows) + 1] = { 0 };
    char letters[2 * ARRAY_SIZE(rows) + 2] = ":", *letter = letters + 1;
    int worst = 0, choice;

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        bool takes = rows[i].type != OPTION_SWITCH;

        known[i] = (struct option){ rows[i].name, takes ? required_argument : optional_argument, NULL, (int)i + 256 };
        if (rows[i].letter) {
            *letter++ = rows[i].letter;
            if (takes)
                *letter++ = ':';
        }
    }
    opterr = 0;
    while ((choice = getopt_long(argc, argv, letters, known, NULL)) != -1) {
        const struct option_row *row = NULL;
        char source[64];

        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
            if (choice == (int)i + 256 || (rows[i].letter && choice == rows[i].letter))
                row = &rows[i];
        }
        if (choice == ':') {
            fprintf(stderr, "outrigger-init: %s needs a value\n", argv[optind - 1]);
            worst = worse(worst, -EINVAL);
        } else if (!row)
            worst = worse(worst, complain_unknown(argv[optind - 1]));
        else {
            snprintf(source, sizeof source, "--%s", row->name);
            worst = worse(worst, parse_value(row, source, optarg ? optarg : "true", options));
        }
    }
    return worst;
}

static int parse_subcommand(int argc, char **argv, bool words_are_known, struct options *options)
{
    options->subcommand = optind < argc ? argv[optind] : subcommands[0];
    if (!words_are_known)
        return 0; /* the value of an unknown option would look like a command */
    if (optind + 1 < argc) {
        fprintf(stderr, "outrigger-init: unexpected argument \"%s\"\n", argv[optind + 1]);
        return -EINVAL;
    }
    for (size_t i = 0; i < ARRAY_SIZE(subcommands); i++) {
        if (strcmp(options->subcommand, subcommands[i]) == 0)
            return 0;
    }
    fprintf(stderr, "outrigger-init: unknown command \"%s\"; allowed: apply, verify, show, remove\n",
            options->subcommand);
    return -EINVAL;
}

/* What no single option can see. */
static int check_together(const struct options *options)
{
    int r = 0;

    if (options->outbound_port == options->inbound_port) {
        fprintf(stderr, "outrigger-init: --inbound-port: the same port as --outbound-port\n");
        r = -EINVAL;
    }
    if (options->dry_run && strcmp(options->subcommand, "apply") != 0) {
        fprintf(stderr, "outrigger-init: --dry-run belongs to apply, not to %s\n", options->subcommand);
        r = -EINVAL;
    }
    if (options->proxy_uids.count == 0 && options->proxy_gids.count == 0) {
        fprintf(
            stderr,
            "outrigger-init: --proxy-uid: neither a uid nor a gid of the proxy is given; its own connections would be "
            "captured again\n");
        r = -EINVAL;
    }
    return r;
}

int options_parse(int argc, char **argv, struct options *options)
{
    int worst = 0, words;

    *options = (struct options){ 0 };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        if (rows[i].def)
            worst = worse(worst, parse_value(&rows[i], rows[i].name, rows[i].def, options));
    }
    worst = worse(worst, parse_environment(options));
    words = parse_words(argc, argv, options);
    worst = worse(worst, words);
    worst = worse(worst, parse_subcommand(argc, argv, words == 0, options));
    if (worst == 0)
        worst = check_together(options);
    return worst;
}

void options_done(struct options *options)
{
    free(options->proxy_uids.items);
    free(options->proxy_gids.items);
    free(options->include_outbound_cidrs.items);
    free(options->exclude_outbound_cidrs.items);
    free(options->include_outbound_ports.items);
    free(options->exclude_outbound_ports.items);
    free(options->include_inbound_ports.items);
    free(options->exclude_inbound_ports.items);
}

void options_print_help(void)
{
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        const struct option_row *row = &rows[i];

        printf("  %c%c%s --%-24s %s", row->letter ? '-' : ' ', row->letter ? row->letter : ' ', row->letter ? "," : " ",
               row->name, row->help);
        if (row->def && row->def[0] != '\0')
            printf(" [%s]", row->def);
        printf("\n");
    }
    printf("\nPorts are numbers or ranges (5000-5010); lists have commas between their entries. Every option can also "
           "be given\n"
           "in the environment: --outbound-port as " ENVIRONMENT_PREFIX "OUTBOUND_PORT, and so on.\n");
}

#include "iptables/options.h"

#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/macros.h"
#include "base/suggest.h"
#include "iptables/complain.h"
#include "iptables/conflicts.h"
#include "iptables/habits.h"
#include "iptables/values.h"

#define ENVIRONMENT_PREFIX "OUTRIGGER_INIT_"
#define MOST_HABITS        64
#define ISTIO_TUNNEL_PORT  "15008"
#define ISTIO_LOOPBACK     "ISTIO_OUTBOUND_IPV4_LOOPBACK_CIDR"
#define FIRST_LONG         256 /* what getopt returns for long options begins here: rows, then habits */

/* One row an option: parsing, environment variable and help come from it. */
struct option_row {
    const char *name;
    char letter; /* 0: none */
    enum value_type type;
    size_t offset;
    const char *def; /* NULL: none */
    const char *help;
};

#define AT(member) offsetof(struct options, member)

static const struct option_row rows[] = {
    { "outbound-port", 'p', VALUE_PORT, AT(outbound_port), "15001", "where outgoing connections are sent" },
    { "inbound-port", 'z', VALUE_PORT, AT(inbound_port), "15006", "where incoming connections are sent" },
    { "proxy-uid", 'u', VALUE_IDS, AT(proxy_uids), "1337", "uids whose own connections are not captured" },
    { "proxy-gid", 'g', VALUE_IDS, AT(proxy_gids), "1337", "gids whose own connections are not captured" },
    { "include-outbound-cidrs", 'i', VALUE_BLOCKS, AT(include_outbound_cidrs), "*",
      "destinations to capture; * = all" },
    { "exclude-outbound-cidrs", 'x', VALUE_BLOCKS, AT(exclude_outbound_cidrs), "", "destinations to leave alone" },
    { "include-outbound-ports", 'q', VALUE_RANGES, AT(include_outbound_ports), "",
      "ports to capture whatever the destination" },
    { "exclude-outbound-ports", 'o', VALUE_RANGES, AT(exclude_outbound_ports), "", "outgoing ports to leave alone" },
    { "include-outbound-uids", 0, VALUE_GROUPS, AT(include_outbound_uids), "*",
      "users whose connections are captured; * = all. With gids: whoever is in either" },
    { "include-outbound-gids", 0, VALUE_GROUPS, AT(include_outbound_gids), "*",
      "groups whose connections are captured; * = all" },
    { "exclude-outbound-gids", 0, VALUE_GROUPS, AT(exclude_outbound_gids), "",
      "groups whose connections are left alone" },
    { "include-inbound-ports", 'b', VALUE_RANGES, AT(include_inbound_ports), "*",
      "incoming ports to capture; * = all" },
    { "exclude-inbound-ports", 'd', VALUE_RANGES, AT(exclude_inbound_ports), "",
      "incoming ports to leave alone (15000 and 15021 always are)" },
    { "exclude-inbound-cidrs", 0, VALUE_BLOCKS, AT(exclude_inbound_cidrs), "",
      "sources whose incoming connections are left alone" },
    { "inbound-tunnel-port", 'e', VALUE_RANGES, AT(inbound_tunnel_ports), "",
      "where another mesh's tunnel arrives; left alone" },
    { "exclude-interfaces", 'c', VALUE_INTERFACES, AT(exclude_interfaces), "",
      "interfaces to leave alone, both ways (eth1, tun*)" },
    { "virtual-interfaces", 'k', VALUE_INTERFACES, AT(virtual_interfaces), "",
      "interfaces of VMs or nested containers: what comes in there is outgoing" },
    { "mode", 'm', VALUE_MODE, AT(mode), "redirect", "redirect, or tproxy: the app sees the client's address" },
    { "tproxy-mark", 't', VALUE_NUMBER, AT(tproxy_mark), "1337", "the packet mark of mode tproxy" },
    { "tproxy-route-table", 'r', VALUE_TABLE, AT(tproxy_route_table), "133", "the routing table of mode tproxy" },
    { "drop-invalid", 0, VALUE_SWITCH, AT(drop_invalid), "on",
      "drop packets that belong to no connection; the kernel would answer with a reset" },
    { "dry-run", 'n', VALUE_SWITCH, AT(dry_run), NULL,
      "print the rules as `nft -f` reads them; change nothing (trace: ask these options, not the kernel)" },
    { "no-verify", 0, VALUE_SWITCH, AT(no_verify), NULL, "do not prove the rules with a connection" },
    { "verify-timeout", 0, VALUE_DURATION, AT(verify_timeout_ms), "5s", "how long that may take" },
    { "explain", 0, VALUE_SWITCH, AT(explain), NULL, "show: each rule's reason and what it has seen" },
    { "to", 0, VALUE_TEXT, AT(to), NULL, "trace: the destination, ADDRESS:PORT" },
    { "from", 0, VALUE_TEXT, AT(from), NULL, "trace: the source address, where it matters" },
    { "uid", 0, VALUE_ID, AT(uid), "0", "trace: whose outgoing connection" },
    { "gid", 0, VALUE_ID, AT(gid), "0", "trace: the same" },
    { "in-interface", 0, VALUE_TEXT, AT(in_interface), NULL, "trace: it comes in, by this interface" },
    { "out-interface", 0, VALUE_TEXT, AT(out_interface), NULL,
      "trace: it leaves by this one, instead of where the routes send it" },
    { "help", 'h', VALUE_SWITCH, AT(help), NULL, "print this" },
    { "version", 0, VALUE_SWITCH, AT(version), NULL, "print the version" },
};

static const char *const commands[COMMAND_COUNT] = {
    [COMMAND_APPLY] = "apply", [COMMAND_VERIFY] = "verify", [COMMAND_SHOW] = "show",
    [COMMAND_TRACE] = "trace", [COMMAND_REMOVE] = "remove",
};

const char *options_command_name(enum command command)
{
    return commands[command];
}

static bool means_everything(const char *text)
{
    const char *star = text + strspn(text, " \t");

    return star[0] == '*' && star[1 + strspn(star + 1, " \t")] == '\0';
}

static int parse_value(const struct option_row *row, const char *source, const char *text, struct options *options)
{
    if (means_everything(text) && strncmp(row->name, "include-", strlen("include-")) != 0)
        return complain_of_value(source, text,
                                 "everything cannot be left out; capture less with the include options instead");
    return values_parse(row->type, source, text, (char *)options + row->offset);
}

/* Keeps the worst of what happened so far. */
static int worse(int so_far, int r)
{
    return so_far == -ENOMEM || r == 0 ? so_far : r;
}

/* Istio's init container has these in no option. */
static const struct {
    const char *name, *ours;
} istio_variables[] = {
    { "ISTIO_OUTBOUND_OWNER_GROUPS", "include-outbound-gids" },
    { "ISTIO_OUTBOUND_OWNER_GROUPS_EXCLUDE", "exclude-outbound-gids" },
};

static const struct option_row *find_row(const char *name)
{
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        if (strcmp(rows[i].name, name) == 0)
            return &rows[i];
    }
    return NULL;
}

static int parse_environment(struct options *options)
{
    int worst = 0;

    const char *loopback = getenv(ISTIO_LOOPBACK);

    if (loopback && strcmp(loopback, "127.0.0.1/32") != 0)
        worst = complain_of_value(ISTIO_LOOPBACK, loopback,
                                  "only 127.0.0.1/32 is supported; calls of other addresses of "
                                  "lo count as calls of the app's own service");
    for (size_t i = 0; i < ARRAY_SIZE(istio_variables); i++) {
        const char *value = getenv(istio_variables[i].name);

        if (value)
            worst = worse(worst,
                          parse_value(find_row(istio_variables[i].ours), istio_variables[i].name, value, options));
    }

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

/* Whether a habit is asked for: not by "" or a word for off. Returns 0 or -EINVAL. */
static int read_wish(const struct habit *habit, const char *source, const char *value, bool *ret_asked)
{
    *ret_asked = !value || value[0] != '\0';
    if (!*ret_asked || habit->valued)
        return 0;
    return values_parse(VALUE_SWITCH, source, value ? value : "true", ret_asked);
}

static int set_command(const char *word, struct options *options)
{
    for (enum command command = 0; command < COMMAND_COUNT; command++) {
        if (strcmp(word, commands[command]) == 0) {
            options->command = command;
            return 0;
        }
    }
    return complain_of_value("unknown command", word, "allowed: apply, verify, show, trace, remove");
}

static int take_habit(const struct habit *habit, const char *value, struct options *options)
{
    char source[64];
    bool asked;

    snprintf(source, sizeof source, "--%s", habit->name);
    switch (habit->kind) {
    case HABIT_ALIAS:
        return parse_value(find_row(habit->ours), source, value ? value : "true", options);
    case HABIT_COMMAND:
        if (read_wish(habit, source, value, &asked) < 0)
            return -EINVAL;
        if (asked)
            options->command_option = habit->name;
        return asked ? set_command(habit->ours, options) : 0;
    case HABIT_IGNORED:
        fprintf(stderr, "outrigger-init: %s has no effect here: %s\n", source, habit->why);
        return 0;
    case HABIT_REFUSED:
        if (read_wish(habit, source, value, &asked) < 0)
            return -EINVAL;
        return asked ? complain("%s is not supported: %s", source, habit->why) : 0;
    }
    return -EINVAL;
}

static int complain_unknown(const char *word)
{
    const char *names[ARRAY_SIZE(rows)];
    char why[64] = "see --help";
    int nearest;

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        names[i] = rows[i].name;
    nearest = suggest_nearest(word + strspn(word, "-"), names, ARRAY_SIZE(rows));
    if (nearest >= 0)
        snprintf(why, sizeof why, "did you mean --%s?", names[nearest]);
    return complain_of_value("unknown option", word, why);
}

/* getopt's view of rows and habits. */
struct known {
    struct option options[ARRAY_SIZE(rows) + MOST_HABITS + 1];
    size_t habit_count;
    char letters[2 * (ARRAY_SIZE(rows) + MOST_HABITS) + 2];
};

static bool takes_value(const struct habit *habit)
{
    const struct option_row *row = habit->kind == HABIT_ALIAS ? find_row(habit->ours) : NULL;

    return row ? row->type != VALUE_SWITCH : habit->valued;
}

static void know(struct known *known)
{
    char *letter = known->letters;
    size_t count = 0;

    *letter++ = ':';
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        bool takes = rows[i].type != VALUE_SWITCH;

        known->options[count] = (struct option){ rows[i].name, takes ? required_argument : optional_argument, NULL,
                                                 FIRST_LONG + (int)count };
        count++;
        if (rows[i].letter) {
            *letter++ = rows[i].letter;
            if (takes)
                *letter++ = ':';
        }
    }
    for (size_t i = 0; habits[i].name && i < MOST_HABITS; i++) {
        known->options[count] = (struct option){ habits[i].name,
                                                 takes_value(&habits[i]) ? required_argument : optional_argument, NULL,
                                                 FIRST_LONG + (int)count };
        count++;
        known->habit_count++;
        if (habits[i].letter)
            *letter++ = habits[i].letter;
    }
}

static const struct habit *find_habit(const struct known *known, int choice)
{
    for (size_t i = 0; i < known->habit_count; i++) {
        if (choice == FIRST_LONG + (int)(ARRAY_SIZE(rows) + i) || (habits[i].letter && choice == habits[i].letter))
            return &habits[i];
    }
    return NULL;
}

static const struct option_row *find_choice(int choice)
{
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        if (choice == FIRST_LONG + (int)i || (rows[i].letter && choice == rows[i].letter))
            return &rows[i];
    }
    return NULL;
}

static int parse_words(int argc, char **argv, struct options *options)
{
    struct known known = { 0 };
    int worst = 0, choice;

    know(&known);
    opterr = 0;
    while ((choice = getopt_long(argc, argv, known.letters, known.options, NULL)) != -1) {
        const struct option_row *row = find_choice(choice);
        const struct habit *habit = find_habit(&known, choice);
        char source[64];

        if (choice == ':') {
            worst = worse(worst, complain("%s needs a value", argv[optind - 1]));
        } else if (row) {
            snprintf(source, sizeof source, "--%s", row->name);
            worst = worse(worst, parse_value(row, source, optarg ? optarg : "true", options));
        } else if (habit)
            worst = worse(worst, take_habit(habit, optarg, options));
        else if (optopt > 0 && optopt < FIRST_LONG) /* one letter of a group */
            worst = worse(worst, complain("unknown option \"-%c\"; see --help", isgraph(optopt) ? optopt : '?'));
        else
            worst = worse(worst, complain_unknown(argv[optind - 1]));
    }
    return worst;
}

/* Istio's containers name the program as their first argument. */
static bool names_istio(const char *word)
{
    return strcmp(word, "istio-iptables") == 0 || strcmp(word, "istio-nftables") == 0;
}

static int parse_command(int argc, char **argv, bool words_are_known, struct options *options)
{
    if (!words_are_known || optind == argc)
        return 0; /* the value of an unknown option would look like a command */
    if (optind + 1 < argc)
        return complain_of_value("unexpected argument", argv[optind + 1], "one command, then options; see --help");
    if (!names_istio(argv[optind])) {
        enum command before = options->command;
        int r = set_command(argv[optind], options);

        if (r == 0 && options->command_option && options->command != before)
            r = complain("--%s asks for %s, the command is %s", options->command_option, commands[before],
                         argv[optind]);
        return r;
    }
    /* There, the tunnel's port is always left alone. */
    return options->inbound_tunnel_ports.count > 0
               ? 0
               : parse_value(find_row("inbound-tunnel-port"), argv[optind], ISTIO_TUNNEL_PORT, options);
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
    worst = worse(worst, parse_command(argc, argv, words == 0, options));
    if (worst == 0)
        worst = conflicts_check(options);
    return worst;
}

void options_done(struct options *options)
{
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        values_done(rows[i].type, (char *)options + rows[i].offset);
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
           "in the environment: --outbound-port as " ENVIRONMENT_PREFIX "OUTBOUND_PORT, and so on. The long names of "
           "istio-iptables\n"
           "and of linkerd's proxy-init are understood too.\n");
}

static void print_environment_name(const char *name)
{
    printf(ENVIRONMENT_PREFIX);
    for (const char *c = name; *c; c++)
        putchar(*c == '-' ? '_' : toupper((unsigned char)*c));
}

static void print_habits(enum habit_kind kind)
{
    for (const struct habit *habit = habits; habit->name; habit++) {
        if (habit->kind != kind)
            continue;
        if (kind == HABIT_ALIAS)
            printf("| `--%s` | is `--%s` |\n", habit->name, habit->ours);
        else if (kind == HABIT_COMMAND)
            printf("| `--%s` | is the command `%s` |\n", habit->name, habit->ours);
        else
            printf("| `--%s` | %s: %s |\n", habit->name, kind == HABIT_IGNORED ? "no effect" : "refused when asked for",
                   habit->why);
    }
}

void options_print_reference(void)
{
    printf("| option | environment | default | meaning |\n| --- | --- | --- | --- |\n");
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        const struct option_row *row = &rows[i];

        printf("| ");
        if (row->letter)
            printf("`-%c`, ", row->letter);
        printf("`--%s` | `", row->name);
        print_environment_name(row->name);
        printf("` | %s%s%s | %s |\n", row->def && row->def[0] ? "`" : "", row->def ? row->def : "",
               row->def && row->def[0] ? "`" : "", row->help);
    }
    printf("\n## Of istio-iptables and of linkerd's proxy-init\n\n"
           "The arguments of an istio-init container work as they are, the long names of proxy-init too. A first "
           "argument\n"
           "`istio-iptables` is `apply`, with `-e 15008`.\n\n"
           "| option | here |\n| --- | --- |\n");
    print_habits(HABIT_ALIAS);
    print_habits(HABIT_COMMAND);
    print_habits(HABIT_IGNORED);
    print_habits(HABIT_REFUSED);
    printf("\n| variable | here |\n| --- | --- |\n");
    for (size_t i = 0; i < ARRAY_SIZE(istio_variables); i++)
        printf("| `%s` | is `--%s`; gids, no names |\n", istio_variables[i].name, istio_variables[i].ours);
    printf("| `" ISTIO_LOOPBACK "` | refused, but for `127.0.0.1/32` |\n");
}

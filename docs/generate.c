/* Prints one page of the documentation that comes from the code: generate-docs
 * configuration|end-reasons|connection-states|init-options */
#include <stdio.h>
#include <string.h>

#include "base/macros.h"
#include "iptables/options.h"
#include "proxy/config/config.h"
#include "proxy/conn/conn_state.h"
#include "proxy/observe/end_reason.h"

static const char notice[] = "<!-- Made by tools/generate-docs; change the code instead. -->\n";

static void print_configuration(void)
{
    struct strbuf text;

    printf(
        "# Configuration reference\n\n%s\n"
        "One YAML file, by default `" CONFIG_DEFAULT_PATH
        "`. Without it the proxy runs with `version: 1` and `intercept: {}`.\n"
        "`outrigger --check` reports every mistake with its place, `outrigger --dump-config` prints what is in "
        "force, and\n"
        "`outrigger --schema` prints a JSON Schema for editors.\n\n"
        "A running proxy loads the file again when it changes, on SIGHUP and on `outriggerctl reload`; all of it or, "
        "where something is\nwrong, nothing (see [operations](operations.md#reload)). The column `reload` says what a "
        "change reaches: `new connections` only, or those\nthat there are as well (`at once`; a timeout within five "
        "seconds). Where it says `refused`, the proxy must be started anew.\n\n"
        "- Durations: `250ms`, `5s`, `1.5m`, `1h`, `7d`; a bare `0` is zero.\n"
        "- Percentages: `20%%`, `12.5%%`.\n"
        "- Sizes: `512B`, `64KiB`, `1MiB`, `2GiB`; a bare `0` is zero.\n"
        "- Addresses: `10.0.0.1:80`, `[::1]:80`; where it says so also `unix:/path` or `name:80`.\n"
        "- CIDRs: `10.0.0.0/8`, `2001:db8::/32`; an address alone is a block of one.\n"
        "- Ports: `443`, `5000-5010`. A list of one entry may be written without brackets.\n",
        notice);
    strbuf_init(&text, 1024 * 1024);
    config_reference(&text);
    fputs(text.text, stdout);
    strbuf_done(&text);
}

static void print_end_reasons(void)
{
    printf("# End reasons\n\n%s\n"
           "Every connection ends for one of these reasons. They are the `reason` label of "
           "`outrigger_connections_ended_total`,\n"
           "the keys of `ended` in `/status`, and what the log says at level debug.\n\n"
           "| reason | both sides are closed with | meaning |\n| --- | --- | --- |\n",
           notice);
    for (enum end_reason reason = 0; reason < END_REASON_COUNT; reason++)
        printf("| `%s` | %s | %s |\n", end_reason_name(reason),
               end_reason_closing(reason) == TRANSPORT_CLOSE ? "FIN" : "RST", end_reason_meaning(reason));
}

#define BIT(state) (1u << CONN_##state)

static void print_connection_states(void)
{
    static const struct {
        const char *name, *guard;
        unsigned successors;
    } states[] = {
#define X(constant, label, legal, clock) { .name = label, .guard = clock, .successors = legal },
        CONN_STATES(X)
#undef X
    };

    printf("# Connection states\n\n%s\n"
           "One function moves a connection along this table; anything else is a bug that stops the program. "
           "Every state\n"
           "may be followed by `closed`.\n\n"
           "| state | may be followed by | guarded by |\n| --- | --- | --- |\n",
           notice);
    for (size_t i = 0; i < ARRAY_SIZE(states); i++) {
        const char *separator = "";

        printf("| `%s` | ", states[i].name);
        for (size_t j = 0; j < ARRAY_SIZE(states); j++) {
            if (states[i].successors & (1u << j)) {
                printf("%s`%s`", separator, states[j].name);
                separator = ", ";
            }
        }
        printf(" | %s |\n", states[i].guard);
    }
}

static void print_init_options(void)
{
    printf("# Options of outrigger-init\n\n%s\n"
           "Every option can also be given in the environment; the command line wins. Ports are numbers or ranges "
           "(`5000-5010`, or\n"
           "`5000:5010` as iptables has it), lists have commas between their entries. What they do together is in\n"
           "[redirection.md](redirection.md).\n\n",
           notice);
    options_print_reference();
}

static const struct {
    const char *name;
    void (*print)(void);
} pages[] = {
    { "configuration", print_configuration },
    { "end-reasons", print_end_reasons },
    { "connection-states", print_connection_states },
    { "init-options", print_init_options },
};

int main(int argc, char **argv)
{
    for (size_t i = 0; argc == 2 && i < ARRAY_SIZE(pages); i++) {
        if (strcmp(argv[1], pages[i].name) == 0) {
            pages[i].print();
            return 0;
        }
    }
    fprintf(stderr, "Usage: generate-docs configuration|end-reasons|connection-states|init-options\n");
    return 2;
}

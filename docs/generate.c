/* Prints one page of the documentation that comes from the code. */
#include <ctype.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "base/macros.h"
#include "inject/annotations.h"
#include "iptables/options.h"
#include "proxy/config/config.h"
#include "proxy/conn/conn_state.h"
#include "proxy/observe/end_reason.h"
#include "proxy/observe/metrics.h"
#include "proxy/process/commands.h"
#include "proxy/tls/mesh.h"
#include "proxy/tls/tls_problem.h"

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
           "the keys of `ended` in `/status`, and `reason` in the access log and in `/endings`.\n\n"
           "| reason | both sides are closed with | `ended_by` | meaning |\n| --- | --- | --- | --- |\n",
           notice);
    for (enum end_reason reason = 0; reason < END_REASON_COUNT; reason++)
        printf("| `%s` | %s | %s | %s |\n", end_reason_name(reason),
               end_reason_closing(reason) == TRANSPORT_CLOSE ? "FIN" : "RST",
               end_reason_party(reason) == END_BY_EITHER ? "whoever finished first"
                                                         : end_party_name(end_reason_party(reason)),
               end_reason_meaning(reason));
}

static void print_tls_problems(void)
{
    printf("# TLS problems\n\n%s\n"
           "What was wrong with a handshake: the `problem` label of `outrigger_tls_handshakes_total`, the keys of "
           "`handshakes` in\n"
           "`/identity`, and a word of the line in the log, which says more.\n\n"
           "| problem | meaning |\n| --- | --- |\n",
           notice);
    for (enum tls_problem problem = 0; problem < TLS_PROBLEM_COUNT; problem++)
        printf("| `%s` | %s |\n", tls_problem_name(problem), tls_problem_meaning(problem));
    printf("\n## Status bytes\n\nWhat a sidecar tells another once its app was dialled; "
           "[mesh-protocol.md](mesh-protocol.md).\n\n| byte | name | meaning |\n| --- | --- | --- |\n");
#define X(constant, byte, name, meaning) printf("| %d | `%s` | %s |\n", byte, name, meaning);
    MESH_STATUSES(X)
#undef X
}

#define BIT(state) (1u << CONN_##state)

static void print_metrics(void)
{
    printf(
        "# Metrics\n\n%s\n"
        "`GET /metrics`, on the health address (port 15021), the admin address and the control socket, in Prometheus' "
        "text format. Names\n"
        "and labels are stable within configuration version 1. A direction is `outbound` and `inbound` (capture) or "
        "`listener`.\n\n"
        "What is counted costs no atomic read-modify-write: every worker counts for itself, and who asks adds them "
        "up. Labels are bounded:\n"
        "peers and what they say never become one, and of endpoints the first %d are shown "
        "(`outrigger_endpoints_left_out` counts the rest).\n"
        "A series appears with the first thing that it counts. Durations have the clock's resolution of a "
        "millisecond.\n\n"
        "Alert rules and a dashboard for Grafana are in [deploy/prometheus](../deploy/prometheus) and "
        "[deploy/grafana](../deploy/grafana).\n",
        notice, METRICS_MOST_ENDPOINTS);
    for (const struct metric_table *const *table = metrics_tables(); *table; table++) {
        printf("\n## %s\n\n| metric | type | labels | meaning |\n| --- | --- | --- | --- |\n", (*table)->title);
        for (size_t i = 0; i < (*table)->count; i++) {
            const struct metric_family *family = &(*table)->families[i];

            printf("| `%s` | %s | %s | %s |\n", family->name, family->type, family->labels, family->help);
        }
    }
}

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

static const char *place_of(const struct control_command *command)
{
    if (command->on_health)
        return "control, admin, health";
    return command->permission == CONTROL_READ ? "control, admin" : "control";
}

static const char *permission_of(const struct control_command *command)
{
    static const char *const names[] = { [CONTROL_READ] = "read", [CONTROL_QUIT] = "quit", [CONTROL_CHANGE] = "all" };

    return names[command->permission];
}

static void print_control_requests(void)
{
    size_t count;
    const struct control_command *commands = commands_get(&count);

    printf("# Requests of the control API\n\n%s\n"
           "What the answers hold is in [control-api.md](control-api.md); the same as this page for programs is "
           "[openapi.json](openapi.json).\n\n"
           "| request | does | body | answers | on | `control.allow` |\n| --- | --- | --- | --- | --- | --- |\n",
           notice);
    for (size_t i = 0; i < count; i++) {
        const char *statuses = commands[i].statuses ? commands[i].statuses : "";

        printf("| `%s %s%s` | %s. | %s | %s", commands[i].method, commands[i].path,
               commands[i].name ? commands[i].name : "", commands[i].summary, commands[i].body ? commands[i].body : "",
               strncmp(statuses, "202", 3) == 0 ? ""
               : commands[i].answers_json       ? "200: JSON"
                                                : "200: text");
        while (*statuses) {
            size_t length = strcspn(statuses, "\n");

            printf("%s%.3s: %.*s", statuses == commands[i].statuses && strncmp(statuses, "202", 3) == 0 ? "" : "<br>",
                   statuses, (int)length - 4, statuses + 4);
            statuses += length + (statuses[length] == '\n');
        }
        printf(" | %s | `%s` |\n", place_of(&commands[i]), permission_of(&commands[i]));
    }
}

static json_t *describe_response(const char *description, bool is_json)
{
    json_t *content = json_pack("{s:{s:{s:s}}}", "text/plain", "schema", "type", "string");

    if (is_json)
        json_object_set_new(content, "application/json", json_pack("{s:{s:s}}", "schema", "type", "object"));
    return json_pack("{s:s, s:o}", "description", description, "content", content);
}

static json_t *describe_responses(const struct control_command *command)
{
    const char *statuses = command->statuses ? command->statuses : "";
    json_t *responses = json_object();

    if (strncmp(statuses, "202", 3) != 0)
        json_object_set_new(responses, "200", describe_response("done", command->answers_json));
    while (*statuses) {
        size_t length = strcspn(statuses, "\n");
        char status[4], meaning[200];

        snprintf(status, sizeof status, "%.3s", statuses);
        snprintf(meaning, sizeof meaning, "%.*s", (int)length - 4, statuses + 4);
        json_object_set_new(responses, status, describe_response(meaning, strstr(meaning, "JSON") != NULL));
        statuses += length + (statuses[length] == '\n');
    }
    json_object_set_new(responses, "403", describe_response("control.allow does not allow it to this uid", false));
    return responses;
}

static json_t *describe_operation(const struct control_command *command)
{
    json_t *operation = json_pack("{s:s, s:o}", "summary", command->summary, "responses", describe_responses(command));
    json_t *parameters = json_array();

    if (command->body)
        json_object_set_new(operation, "requestBody",
                            json_pack("{s:s, s:{s:{s:{s:s}}}}", "description", command->body, "content", "text/plain",
                                      "schema", "type", "string"));
    if (command->name)
        json_array_append_new(parameters, json_pack("{s:s%, s:s, s:b, s:{s:s}}", "name", command->name + 1,
                                                    strcspn(command->name + 1, "}"), "in", "path", "required", 1,
                                                    "schema", "type", "string"));
    if (command->name && strstr(command->name, "{verb}"))
        json_array_append_new(parameters,
                              json_pack("{s:s, s:s, s:b, s:{s:s, s:[ss]}}", "name", "verb", "in", "path", "required", 1,
                                        "schema", "type", "string", "enum", "eject", "restore"));
    json_object_set_new(operation, "parameters", parameters);
    return operation;
}

static void print_openapi(void)
{
    size_t count;
    const struct control_command *commands = commands_get(&count);
    json_t *paths = json_object(), *api;

    for (size_t i = 0; i < count; i++) {
        char path[100], method[8] = "";
        json_t *item;

        snprintf(path, sizeof path, "%s%s", commands[i].path, commands[i].name ? commands[i].name : "");
        for (size_t j = 0; commands[i].method[j]; j++)
            method[j] = (char)tolower(commands[i].method[j]);
        item = json_object_get(paths, path);
        if (!item) {
            item = json_object();
            json_object_set_new(paths, path, item);
        }
        json_object_set_new(item, method, describe_operation(&commands[i]));
    }
    api = json_pack("{s:s, s:{s:s, s:s, s:s}, s:o}", "openapi", "3.0.3", "info", "title", "Outrigger control API",
                    "version", "1", "description",
                    "HTTP/1.1 over the unix socket of control.path. Made by tools/generate-docs.", "paths", paths);
    json_dumpf(api, stdout, JSON_INDENT(2));
    printf("\n");
    json_decref(api);
}

static void print_annotations(void)
{
    struct strbuf text;

    strbuf_init(&text, 65536);
    annotations_reference(&text);
    fputs(text.text, stdout);
    strbuf_done(&text);
}

static const struct {
    const char *name;
    void (*print)(void);
} pages[] = {
    { "configuration", print_configuration },
    { "end-reasons", print_end_reasons },
    { "connection-states", print_connection_states },
    { "init-options", print_init_options },
    { "control-requests", print_control_requests },
    { "openapi", print_openapi },
    { "tls-problems", print_tls_problems },
    { "annotations", print_annotations },
    { "metrics", print_metrics },
};

int main(int argc, char **argv)
{
    for (size_t i = 0; argc == 2 && i < ARRAY_SIZE(pages); i++) {
        if (strcmp(argv[1], pages[i].name) == 0) {
            pages[i].print();
            return 0;
        }
    }
    fprintf(stderr, "Usage: generate-docs PAGE\n");
    return 2;
}

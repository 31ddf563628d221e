/* `top`: what passes now, as rates between two looks at /metrics. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/macros.h"
#include "base/units.h"
#include "control/ctl/client.h"
#include "control/ctl/ctl.h"

#define REQUEST_TIMEOUT_MS 5000
#define MOST_ROWS          200 /* further ones are left out, and said to be */
#define LABEL_SIZE         80

enum column { OPENED, ENDED, FROM_CLIENT, FROM_UPSTREAM, RETRIES, FAILURES, ACTIVE, COLUMN_COUNT };

/* One direction of one cluster. */
struct row {
    char direction[16], cluster[LABEL_SIZE];
    double values[COLUMN_COUNT];
};

struct look {
    struct row rows[MOST_ROWS];
    size_t count, left_out;
    double seconds; /* when */
    char state[32];
};

static const struct {
    const char *name, *label; /* a family, and what must stand among its labels */
    enum column column;
} families[] = {
    { "outrigger_connections_opened_total", "", OPENED },
    { "outrigger_connections_ended_total", "", ENDED },
    { "outrigger_connections_active", "", ACTIVE },
    { "outrigger_received_bytes_total", "from=\"client\"", FROM_CLIENT },
    { "outrigger_received_bytes_total", "from=\"upstream\"", FROM_UPSTREAM },
    { "outrigger_retries_total", "", RETRIES },
    { "outrigger_connect_failures_total", "", FAILURES },
};

static double now_seconds(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* Copies the value of a label; "" when it is not there. Names of clusters need no escapes. */
static void copy_label(const char *labels, const char *name, char *value, size_t size)
{
    const char *at = strstr(labels, name);

    value[0] = '\0';
    if (at)
        snprintf(value, size, "%.*s", (int)strcspn(at + strlen(name), "\""), at + strlen(name));
}

static struct row *find_row(struct look *look, const char *direction, const char *cluster)
{
    struct row *row;

    for (size_t i = 0; i < look->count; i++) {
        if (strcmp(look->rows[i].direction, direction) == 0 && strcmp(look->rows[i].cluster, cluster) == 0)
            return &look->rows[i];
    }
    if (look->count == MOST_ROWS) {
        look->left_out++;
        return NULL;
    }
    row = &look->rows[look->count++];
    *row = (struct row){ 0 };
    snprintf(row->direction, sizeof row->direction, "%s", direction);
    snprintf(row->cluster, sizeof row->cluster, "%s", cluster);
    return row;
}

/* `name{labels} value` */
static void take_line(struct look *look, char *line)
{
    char *labels = strchr(line, '{'), *value = labels ? strstr(labels, "} ") : NULL, direction[16], cluster[LABEL_SIZE];
    struct row *row;

    if (!value)
        return;
    *labels++ = '\0';
    *value = '\0';
    for (size_t i = 0; i < ARRAY_SIZE(families); i++) {
        if (strcmp(line, families[i].name) != 0 || !strstr(labels, families[i].label))
            continue;
        copy_label(labels, "direction=\"", direction, sizeof direction);
        copy_label(labels, "cluster=\"", cluster, sizeof cluster);
        row = find_row(look, direction, cluster);
        if (row)
            row->values[families[i].column] += strtod(value + 2, NULL);
    }
}

/* Returns CTL_DONE, or the exit code after saying why. */
static int take_look(const struct ctl_options *options, struct look *look)
{
    struct client_answer answer;
    char *line, *rest;
    int r = client_request(options->socket_path, "GET", "/metrics", "text/plain", "", REQUEST_TIMEOUT_MS, &answer);

    if (r < 0) {
        fprintf(stderr, "outriggerctl: no proxy answers on %s: %s\n", options->socket_path, strerror(-r));
        return CTL_UNREACHABLE;
    }
    if (answer.status != 200) {
        fprintf(stderr, "outriggerctl: %s", answer.body);
        free(answer.body);
        return CTL_NO;
    }
    look->count = look->left_out = 0;
    look->seconds = now_seconds();
    strcpy(look->state, strstr(answer.body, "\noutrigger_ready 1\n") ? "ready" : "not ready");
    rest = answer.body;
    while ((line = strsep(&rest, "\n"))) {
        if (line[0] != '#')
            take_line(look, line);
    }
    free(answer.body);
    return CTL_DONE;
}

static void print_rate(double rate)
{
    printf(rate < 10 ? " %9.1f" : " %9.0f", rate);
}

static void print_bytes(double rate)
{
    char text[UNITS_TEXT_SIZE];

    printf(" %9s/s", units_format_rounded_size((uint64_t)(rate > 0 ? rate : 0), text));
}

static void print_looks(struct look *before, struct look *now)
{
    double seconds = now->seconds - before->seconds;

    printf("outrigger: %s\n\n%-9s %-24s %7s %9s %9s %11s %11s %9s %9s\n", now->state, "DIRECTION", "CLUSTER", "ACTIVE",
           "OPENED/s", "ENDED/s", "FROM CLIENT", "FROM UPSTR.", "RETRIES/s", "FAILED/s");
    for (size_t i = 0; i < now->count; i++) {
        const struct row *row = &now->rows[i];
        const struct row *old = find_row(before, row->direction, row->cluster);
        double rates[COLUMN_COUNT];

        for (int column = 0; column < COLUMN_COUNT; column++)
            rates[column] = old && seconds > 0 ? (row->values[column] - old->values[column]) / seconds : 0;
        printf("%-9s %-24.24s %7.0f", row->direction, row->cluster, row->values[ACTIVE]);
        print_rate(rates[OPENED]);
        print_rate(rates[ENDED]);
        print_bytes(rates[FROM_CLIENT]);
        print_bytes(rates[FROM_UPSTREAM]);
        print_rate(rates[RETRIES]);
        print_rate(rates[FAILURES]);
        printf("\n");
    }
    if (now->count == 0)
        printf("no connection so far\n");
    if (now->left_out > 0)
        printf("more than %d clusters have traffic; the rest is left out\n", MOST_ROWS);
    printf("\n");
    fflush(stdout);
}

int ctl_top(const struct ctl_options *options)
{
    static struct look looks[2];
    struct timespec pause = { .tv_sec = (time_t)(options->interval_ms / 1000),
                              .tv_nsec = (long)(options->interval_ms % 1000 * 1000000) };
    bool is_terminal = isatty(STDOUT_FILENO);
    sigset_t ending;
    int r = take_look(options, &looks[0]);

    sigemptyset(&ending);
    sigaddset(&ending, SIGINT);
    sigaddset(&ending, SIGTERM);
    sigprocmask(SIG_BLOCK, &ending, NULL);
    for (unsigned turn = 1; r == CTL_DONE; turn++) {
        if (sigtimedwait(&ending, NULL, &pause) > 0)
            return CTL_DONE;
        r = take_look(options, &looks[turn % 2]);
        if (r != CTL_DONE)
            break;
        if (is_terminal)
            printf("\033[H\033[J"); /* to the corner, and clear */
        print_looks(&looks[(turn + 1) % 2], &looks[turn % 2]);
        if (ferror(stdout))
            return CTL_NO;
    }
    return r;
}

#include "control/ctl/top_view.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/macros.h"
#include "base/units.h"

#define LONGEST_LINE 512

static const char *const sort_names[] = {
    [TOP_ACTIVE] = "active",
    [TOP_OPENED] = "opened",
    [TOP_ENDED] = "ended",
    [TOP_FROM_CLIENT] = "from client",
    [TOP_FROM_UPSTREAM] = "from upstream",
    [TOP_RETRIES] = "retries",
    [TOP_FAILURES] = "failed",
    [TOP_COLUMN_COUNT] = "name",
};

struct page {
    FILE *out;
    const struct top_choice *choice;
    int lines;
};

/* A row with what it is sorted by. */
struct sorted {
    const struct top_row *row;
    double rates[TOP_COLUMN_COUNT];
    double key;
};

const char *top_view_sort_name(enum top_column sort)
{
    return sort_names[sort];
}

static void put(struct page *page, const char *format, ...) PRINTF_LIKE(2, 3);

/* A line, cut off where the terminal ends; none below its last line but one. */
static void put(struct page *page, const char *format, ...)
{
    const struct top_choice *choice = page->choice;
    char line[LONGEST_LINE];
    va_list arguments;

    if (choice->height > 0 && page->lines >= choice->height - 1)
        return;
    va_start(arguments, format);
    vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    fprintf(page->out, "%.*s\n", choice->width > 0 ? choice->width : LONGEST_LINE, line);
    page->lines++;
}

static const char *rate(double value, char *text, size_t size)
{
    snprintf(text, size, value < 10 ? "%.1f" : "%.0f", value > 0 ? value : 0);
    return text;
}

static const char *bytes(double value, char *text)
{
    return units_format_rounded_size((uint64_t)(value > 0 ? value : 0), text);
}

static int compare(const void *one, const void *other)
{
    const struct sorted *a = one, *b = other;
    int by_name = strcmp(a->row->cluster, b->row->cluster);

    if (a->key != b->key)
        return a->key < b->key ? 1 : -1;
    return by_name != 0 ? by_name : strcmp(a->row->direction, b->row->direction);
}

static double per_second(double now, double before, double seconds)
{
    return seconds > 0 && now > before ? (now - before) / seconds : 0;
}

static void put_rows(struct page *page, const struct top_look *before, const struct top_look *now, double seconds)
{
    const struct top_choice *choice = page->choice;
    static struct sorted sorted[TOP_MOST_ROWS];
    size_t count = 0;

    for (size_t i = 0; i < now->row_count; i++) {
        const struct top_row *row = &now->rows[i], *old = top_look_find_row(before, row);
        struct sorted *entry = &sorted[count];

        if (!strstr(row->cluster, choice->filter))
            continue;
        count++;
        entry->row = row;
        for (int column = 0; column < TOP_COLUMN_COUNT; column++)
            entry->rates[column] = column == TOP_ACTIVE ? row->values[column]
                                   : old                ? per_second(row->values[column], old->values[column], seconds)
                                                        : 0;
        entry->key = choice->sort == TOP_COLUMN_COUNT ? 0 : entry->rates[choice->sort];
    }
    qsort(sorted, count, sizeof *sorted, compare);
    put(page, "%-9s %-24s %7s %9s %9s %11s %11s %9s %9s", "DIRECTION", "CLUSTER", "ACTIVE", "OPENED/s", "ENDED/s",
        "FROM CLIENT", "FROM UPSTR.", "RETRIES/s", "FAILED/s");
    for (size_t i = 0; i < count; i++) {
        const double *rates = sorted[i].rates;
        char opened[32], ended[32], retries[32], failures[32], from_client[UNITS_TEXT_SIZE],
            from_upstream[UNITS_TEXT_SIZE];

        put(page, "%-9s %-24.24s %7.0f %9s %9s %9s/s %9s/s %9s %9s", sorted[i].row->direction, sorted[i].row->cluster,
            rates[TOP_ACTIVE], rate(rates[TOP_OPENED], opened, sizeof opened),
            rate(rates[TOP_ENDED], ended, sizeof ended), bytes(rates[TOP_FROM_CLIENT], from_client),
            bytes(rates[TOP_FROM_UPSTREAM], from_upstream), rate(rates[TOP_RETRIES], retries, sizeof retries),
            rate(rates[TOP_FAILURES], failures, sizeof failures));
    }
    if (count == 0)
        put(page, now->row_count == 0 ? "no connection so far" : "no cluster has \"%s\" in its name", choice->filter);
    if (now->left_out > 0)
        put(page, "more than %d clusters have traffic; the rest is left out", TOP_MOST_ROWS);
}

/* Those that are not healthy first. */
static void put_endpoints(struct page *page, const struct top_look *before, const struct top_look *now, double seconds)
{
    bool any = false;

    for (int healthy = 0; healthy < 2; healthy++) {
        for (size_t i = 0; i < now->endpoint_count; i++) {
            const struct top_endpoint *endpoint = &now->endpoints[i], *old = top_look_find_endpoint(before, endpoint);
            char connects[32], failures[32];

            if ((strcmp(endpoint->state, "healthy") == 0) != healthy ||
                !strstr(endpoint->cluster, page->choice->filter))
                continue;
            if (!any)
                put(page, "\n%-34s %-24s %-10s %7s %9s %9s", "ENDPOINT", "CLUSTER", "STATE", "ACTIVE", "CONNECT/s",
                    "FAILED/s");
            page->lines += !any; /* the empty line */
            any = true;
            put(page, "%-34s %-24.24s %-10s %7.0f %9s %9s", endpoint->address, endpoint->cluster, endpoint->state,
                endpoint->active,
                rate(old ? per_second(endpoint->connects, old->connects, seconds) : 0, connects, sizeof connects),
                rate(old ? per_second(endpoint->failures, old->failures, seconds) : 0, failures, sizeof failures));
        }
    }
}

static void put_reasons(struct page *page, const struct top_look *before, const struct top_look *now, double seconds)
{
    bool any = false;

    for (size_t i = 0; i < now->reason_count; i++) {
        const struct top_reason *reason = &now->reasons[i], *old = top_look_find_reason(before, reason);
        char ended[32];

        if (!strstr(reason->cluster, page->choice->filter))
            continue;
        if (!any)
            put(page, "\n%-34s %-24s %-10s %9s %12s", "ENDED FOR", "CLUSTER", "DIRECTION", "ENDED/s", "IN ALL");
        page->lines += !any;
        any = true;
        put(page, "%-34s %-24.24s %-10s %9s %12.0f", reason->reason, reason->cluster, reason->direction,
            rate(per_second(reason->ended, old ? old->ended : 0, seconds), ended, sizeof ended), reason->ended);
    }
}

void top_view_print(const struct top_look *before, const struct top_look *now, const struct top_choice *choice,
                    FILE *out)
{
    struct page page = { .out = out, .choice = choice };
    double seconds = now->seconds - before->seconds;
    char resident[UNITS_TEXT_SIZE], buffers[UNITS_TEXT_SIZE];

    put(&page, "outrigger: %s, %s resident, %s of buffers in use%s", now->state, bytes(now->resident, resident),
        bytes(now->buffer_used, buffers), now->dropped > 0 ? ", log lines were dropped" : "");
    put(&page, "%s", "");
    put_rows(&page, before, now, seconds);
    if (!choice->hides_endpoints)
        put_endpoints(&page, before, now, seconds);
    if (!choice->hides_reasons)
        put_reasons(&page, before, now, seconds);
    if (choice->hint)
        fprintf(out, "%.*s", choice->width > 0 ? choice->width : LONGEST_LINE, choice->hint);
    else
        put(&page, "%s", "");
    fflush(out);
}

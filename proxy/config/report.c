#include "proxy/config/report.h"

#include <stdarg.h>
#include <stdlib.h>

#define MOST_LINE_BYTES 2048

void report_init(struct report *report, const char *file)
{
    report->file = file;
    report->count = 0;
}

static unsigned kept_lines(const struct report *report)
{
    return MIN(report->count, (unsigned)REPORT_MOST_ERRORS);
}

void report_done(struct report *report)
{
    for (unsigned i = 0; i < kept_lines(report); i++)
        free(report->lines[i].text);
    report->count = 0;
}

void report_add(struct report *report, unsigned line, unsigned column, const char *path, const char *format, ...)
{
    struct strbuf text;
    va_list arguments;

    if (report->count++ >= REPORT_MOST_ERRORS)
        return;
    strbuf_init(&text, MOST_LINE_BYTES);
    strbuf_append(&text, report->file);
    if (line > 0)
        strbuf_printf(&text, ":%u:%u", line, column);
    strbuf_append(&text, ": ");
    if (path[0] != '\0')
        strbuf_printf(&text, "%s: ", path);
    va_start(arguments, format);
    strbuf_vprintf(&text, format, arguments);
    va_end(arguments);
    report->lines[report->count - 1] = (struct report_line){ line, column, strbuf_take(&text) };
}

static int compare_lines(const void *left, const void *right)
{
    const struct report_line *a = left, *b = right;

    if (a->line != b->line)
        return a->line < b->line ? -1 : 1;
    return a->column < b->column ? -1 : a->column > b->column;
}

char *report_text(struct report *report)
{
    struct strbuf text;

    qsort(report->lines, kept_lines(report), sizeof report->lines[0], compare_lines);
    strbuf_init(&text, REPORT_MOST_ERRORS * (MOST_LINE_BYTES + 1) + 256);
    for (unsigned i = 0; i < kept_lines(report); i++)
        strbuf_printf(&text, "%s\n",
                      report->lines[i].text ? report->lines[i].text : "an error that needs more memory to tell");
    if (report->count > REPORT_MOST_ERRORS)
        strbuf_printf(&text, "%.256s: %u more errors\n", report->file, report->count - REPORT_MOST_ERRORS);
    return strbuf_take(&text);
}

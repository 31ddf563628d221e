#include "proxy/config/report.h"

#include <stdarg.h>

#define MOST_BYTES (256 * 1024)

void report_init(struct report *report, const char *file)
{
    report->file = file;
    report->count = 0;
    strbuf_init(&report->text, MOST_BYTES);
}

void report_done(struct report *report)
{
    strbuf_done(&report->text);
}

void report_add(struct report *report, unsigned line, unsigned column, const char *path, const char *format, ...)
{
    va_list arguments;

    if (report->count++ >= REPORT_MOST_ERRORS)
        return;
    strbuf_append(&report->text, report->file);
    if (line > 0)
        strbuf_printf(&report->text, ":%u:%u", line, column);
    strbuf_append(&report->text, ": ");
    if (path[0] != '\0')
        strbuf_printf(&report->text, "%s: ", path);
    va_start(arguments, format);
    strbuf_vprintf(&report->text, format, arguments);
    va_end(arguments);
    strbuf_append(&report->text, "\n");
}

const char *report_text(struct report *report)
{
    if (report->count > REPORT_MOST_ERRORS) {
        strbuf_printf(&report->text, "%s: %u more errors\n", report->file, report->count - REPORT_MOST_ERRORS);
        report->count = REPORT_MOST_ERRORS;
    }
    return report->text.text;
}

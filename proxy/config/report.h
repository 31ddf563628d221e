/*
 * Collects everything that is wrong with a configuration, one line each: `file:line:column: path: what is wrong, what
 * is allowed`. At most REPORT_MOST_ERRORS lines; further errors are only counted.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/macros.h"
#include "base/strbuf.h"

#define REPORT_MOST_ERRORS 100

struct report_line {
    unsigned line, column;
    char *text;
};

struct report {
    const char *file; /* borrowed */
    struct report_line lines[REPORT_MOST_ERRORS];
    unsigned count; /* may go past REPORT_MOST_ERRORS */
};

void report_init(struct report *report, const char *file);
void report_done(struct report *report);

/* Line and column count from 1; 0 leaves them out. An empty path is left out too. */
void report_add(struct report *report, unsigned line, unsigned column, const char *path, const char *format, ...)
    PRINTF_LIKE(5, 6);

/* The whole report in the order of the file, a line each. The caller frees it; NULL without memory. */
char *report_text(struct report *report);

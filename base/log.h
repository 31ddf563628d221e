/*
 * The process's own log: one line an event, as JSON or as text, on standard error. A line is one write(2) of at most
 * LOG_LINE_SIZE bytes, so lines of several threads never mix. Text that peers control is escaped.
 * A reader that does not read never holds anybody up: then lines are dropped, and a later line says how many.
 * Any thread may log. Not for the data path: a line an event there would cost more than the event.
 */
#pragma once

#include <stdbool.h>

#include "base/macros.h"

#define LOG_LINE_SIZE 2048

enum log_level {
    LOG_ERROR,
    LOG_WARNING,
    LOG_INFO,
    LOG_DEBUG,
};

enum log_format {
    LOG_FORMAT_JSON,
    LOG_FORMAT_TEXT,
};

/* Sets what is written from now on. Main thread, before others start or at a reload. */
void log_configure(enum log_level level, enum log_format format);

/* Any thread. */
void log_set_level(enum log_level level);
enum log_level log_get_level(void);

/* Lines that were not written since their reader did not read, or had no room. */
unsigned long log_count_dropped(void);

bool log_enabled(enum log_level level);

void log_write(enum log_level level, const char *format, ...) PRINTF_LIKE(2, 3);

/* The same under a rate: at most one line every `every_ms`; `last_ms` is the place's own memory, 0 at first. */
void log_write_limited(enum log_level level, unsigned every_ms, unsigned long *last_ms, const char *format, ...)
    PRINTF_LIKE(4, 5);

#define log_error(...)   log_write(LOG_ERROR, __VA_ARGS__)
#define log_warning(...) log_write(LOG_WARNING, __VA_ARGS__)
#define log_info(...)    log_write(LOG_INFO, __VA_ARGS__)
#define log_debug(...)   log_write(LOG_DEBUG, __VA_ARGS__)

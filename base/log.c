#include "base/log.h"

#include <poll.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"

static const char *const level_names[] = { "error", "warning", "info", "debug" };

static atomic_uint dropped_lines; /* that no later line has told of yet */
static atomic_ulong all_dropped_lines;
static atomic_int current_level = LOG_INFO;
static atomic_int current_format = LOG_FORMAT_TEXT;

void log_configure(enum log_level level, enum log_format format)
{
    atomic_store_explicit(&current_level, (int)level, memory_order_relaxed);
    atomic_store_explicit(&current_format, (int)format, memory_order_relaxed);
}

void log_set_level(enum log_level level)
{
    atomic_store_explicit(&current_level, (int)level, memory_order_relaxed);
}

enum log_level log_get_level(void)
{
    return (enum log_level)atomic_load_explicit(&current_level, memory_order_relaxed);
}

unsigned long log_count_dropped(void)
{
    return atomic_load_explicit(&all_dropped_lines, memory_order_relaxed);
}

static void count_dropped(void)
{
    atomic_fetch_add_explicit(&dropped_lines, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&all_dropped_lines, 1, memory_order_relaxed);
}

bool log_enabled(enum log_level level)
{
    return (int)level <= atomic_load_explicit(&current_level, memory_order_relaxed);
}

/* Appends `text` escaped as in JSON, for as long as `size` allows; returns the new length. */
static size_t append_escaped(char *line, size_t length, size_t size, const char *text)
{
    for (; *text && length + 7 < size; text++) {
        unsigned char c = (unsigned char)*text;

        if (c == '"' || c == '\\') {
            line[length++] = '\\';
            line[length++] = (char)c;
        } else if (c < 0x20 || c == 0x7f)
            length += (size_t)snprintf(line + length, size - length, "\\u%04x", c);
        else
            line[length++] = (char)c;
    }
    return length;
}

/* A writable pipe has room for at least PIPE_BUF bytes (pipe(7)), two lines, so that write() will not block. */
static bool is_writable(void)
{
    struct pollfd poll_fd = { .fd = STDERR_FILENO, .events = POLLOUT };

    return poll(&poll_fd, 1, 0) == 1 && (poll_fd.revents & POLLOUT);
}

static void write_message(enum log_level level, const char *message)
{
    char line[LOG_LINE_SIZE];
    double now = clock_wall_seconds();
    time_t seconds = (time_t)now;
    unsigned ms = (unsigned)((now - (double)seconds) * 1000);
    struct tm utc;
    size_t length;

    gmtime_r(&seconds, &utc);
    if (atomic_load_explicit(&current_format, memory_order_relaxed) == LOG_FORMAT_JSON) {
        length = strftime(line, sizeof line, "{\"time\":\"%Y-%m-%dT%H:%M:%S", &utc);
        length += (size_t)snprintf(line + length, sizeof line - length, ".%03uZ\",\"level\":\"%s\",\"message\":\"", ms,
                                   level_names[level]);
        length = append_escaped(line, length, sizeof line - 3, message);
        memcpy(line + length, "\"}\n", 3);
        length += 3;
    } else {
        length = strftime(line, sizeof line, "%Y-%m-%dT%H:%M:%S", &utc);
        length += (size_t)snprintf(line + length, sizeof line - length, ".%03uZ %-7s ", ms, level_names[level]);
        length = append_escaped(line, length, sizeof line - 1, message);
        line[length++] = '\n';
    }
    if (write(STDERR_FILENO, line, length) < 0)
        count_dropped();
}

static void write_line(enum log_level level, const char *format, va_list arguments) PRINTF_LIKE(2, 0);

static void write_line(enum log_level level, const char *format, va_list arguments)
{
    char message[LOG_LINE_SIZE / 2];
    unsigned dropped;

    if (!is_writable()) {
        count_dropped();
        return;
    }
    dropped = atomic_exchange_explicit(&dropped_lines, 0, memory_order_relaxed);
    if (dropped > 0) {
        snprintf(message, sizeof message, "%u log lines were dropped: standard error was not read", dropped);
        write_message(LOG_WARNING, message);
    }
    vsnprintf(message, sizeof message, format, arguments);
    write_message(level, message);
}

void log_write(enum log_level level, const char *format, ...)
{
    va_list arguments;

    if (!log_enabled(level))
        return;
    va_start(arguments, format);
    write_line(level, format, arguments);
    va_end(arguments);
}

void log_write_limited(enum log_level level, unsigned every_ms, unsigned long *last_ms, const char *format, ...)
{
    unsigned long now_ms = clock_now_ms();
    va_list arguments;

    if (!log_enabled(level) || (*last_ms != 0 && now_ms - *last_ms < every_ms))
        return;
    *last_ms = now_ms;
    va_start(arguments, format);
    write_line(level, format, arguments);
    va_end(arguments);
}

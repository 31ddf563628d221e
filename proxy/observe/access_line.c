#include "proxy/observe/access_line.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/macros.h"

#define END_RESERVE 2 /* for `}` and the newline */

struct writer {
    char *line;
    size_t length;
};

static void put(struct writer *writer, const char *format, ...) PRINTF_LIKE(2, 3);

/* A field that has no room is left out whole. */
static void put(struct writer *writer, const char *format, ...)
{
    size_t room = ACCESS_LINE_SIZE - END_RESERVE - writer->length;
    va_list arguments;
    int length;

    va_start(arguments, format);
    length = vsnprintf(writer->line + writer->length, room, format, arguments);
    va_end(arguments);
    if (length > 0 && (size_t)length < room)
        writer->length += (size_t)length;
}

static void put_time(struct writer *writer, double seconds)
{
    time_t whole = (time_t)seconds;
    struct tm utc;

    gmtime_r(&whole, &utc);
    put(writer, "{\"time\":\"%04d-%02d-%02dT%02d:%02d:%02d.%03uZ\"", utc.tm_year + 1900, utc.tm_mon + 1, utc.tm_mday,
        utc.tm_hour, utc.tm_min, utc.tm_sec, (unsigned)((seconds - (double)whole) * 1000));
}

static void put_address(struct writer *writer, const char *name, const struct sockaddr *address)
{
    char text[SOCKADDR_TEXT_SIZE], escaped[SOCKADDR_TEXT_SIZE * 6];
    size_t length = 0;

    if (!address || address->sa_family == AF_UNSPEC)
        return;
    sockaddr_format(address, text);
    for (const char *at = text; *at; at++) { /* a path of a unix socket may hold anything */
        unsigned char c = (unsigned char)*at;

        if (c == '"' || c == '\\' || c < 0x20 || c >= 0x7f)
            length += (size_t)snprintf(escaped + length, sizeof escaped - length, "\\u%04x", c);
        else
            escaped[length++] = (char)c;
    }
    escaped[length] = '\0';
    put(writer, ",\"%s\":\"%s\"", name, escaped);
}

static void put_ms(struct writer *writer, const char *name, uint32_t ms)
{
    if (ms != ACCESS_NEVER)
        put(writer, ",\"%s\":%" PRIu32, name, ms);
}

/* A SPIFFE ID has no characters that JSON would escape (SPIFFE-ID, 2: letters, digits and . - _ / :). */
static void put_identity(struct writer *writer, const char *name, const struct access_text *text)
{
    if (text->text)
        put(writer, ",\"%s\":\"%.*s\"", name, (int)MIN(text->length, (size_t)1024), text->text);
}

static void put_failures(struct writer *writer, const struct access_record *record)
{
    const char *separator = "";

    if (record->failure_count == 0)
        return;
    put(writer, ",\"failed_attempts\":[");
    for (size_t i = 0; i < record->failure_count; i++) {
        const struct access_failure *failure = &record->failures[i];
        char address[SOCKADDR_TEXT_SIZE];

        if (failure->endpoint.family == AF_UNSPEC)
            put(writer, "%s{\"cause\":\"%s\"}", separator, connect_cause_name(failure->cause));
        else
            put(writer, "%s{\"endpoint\":\"%s\",\"cause\":\"%s\"}", separator,
                sockaddr_format(&failure->endpoint.any, address), connect_cause_name(failure->cause));
        separator = ",";
    }
    put(writer, "]");
}

size_t access_line_write(const struct access_record *record, char line[ACCESS_LINE_SIZE])
{
    struct writer writer = { .line = line };

    put_time(&writer, record->time_s);
    put(&writer, ",\"id\":\"%u-%" PRIu64 "\",\"direction\":\"%s\",\"cluster\":\"%s\"", record->worker, record->id,
        direction_name(record->direction), record->cluster);
    if (record->has_ended)
        put(&writer, ",\"reason\":\"%s\",\"ended_by\":\"%s\"", end_reason_name(record->reason),
            end_party_name(record->ended_by));
    put(&writer, ",\"state\":\"%s\"", record->state);
    put_address(&writer, "client", &record->client.any);
    put_address(&writer, "original_destination", &record->original.any);
    put_address(&writer, "endpoint", record->endpoint);
    put(&writer, ",\"attempts\":%u", record->attempts);
    put_failures(&writer, record);
    put(&writer, ",\"bytes_from_client\":%" PRIu64 ",\"bytes_from_upstream\":%" PRIu64 ",\"duration_ms\":%" PRIu64,
        record->bytes_from_client, record->bytes_from_upstream, record->duration_ms);
    put_ms(&writer, "connect_ms", record->connect_ms);
    put_ms(&writer, "first_byte_ms", record->first_byte_ms);
    put_ms(&writer, "client_tls_ms", record->client_tls_ms);
    put_ms(&writer, "upstream_tls_ms", record->upstream_tls_ms);
    put_identity(&writer, "client_identity", &record->client_identity);
    put_identity(&writer, "endpoint_identity", &record->endpoint_identity);
    memcpy(line + writer.length, "}\n", END_RESERVE);
    return writer.length + END_RESERVE;
}

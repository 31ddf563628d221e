#include "base/units.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/macros.h"

struct unit {
    const char *name;
    uint64_t factor;
};

/* Largest first, so that formatting takes the largest that divides. */
static const struct unit duration_units[] = {
    { "d", 86400000 }, { "h", 3600000 }, { "m", 60000 }, { "s", 1000 }, { "ms", 1 },
};
static const struct unit size_units[] = {
    { "GiB", 1ULL << 30 },
    { "MiB", 1ULL << 20 },
    { "KiB", 1ULL << 10 },
    { "B", 1 },
};

/* Reads digits at *text and moves it past them. */
static int take_digits(const char **text, uint64_t *ret_number)
{
    uint64_t number = 0;
    const char *at = *text;

    if (*at < '0' || *at > '9')
        return -EINVAL;
    for (; *at >= '0' && *at <= '9'; at++) {
        if (__builtin_mul_overflow(number, (uint64_t)10, &number) ||
            __builtin_add_overflow(number, (uint64_t)(*at - '0'), &number))
            return -ERANGE;
    }
    *text = at;
    *ret_number = number;
    return 0;
}

/* Reads at most three decimals after a point, as thousandths. */
static int take_thousandths(const char **text, uint64_t *ret_thousandths)
{
    uint64_t thousandths = 0;
    const char *at = *text;
    unsigned digits = 0;

    *ret_thousandths = 0;
    if (*at != '.')
        return 0;
    for (at++; *at >= '0' && *at <= '9'; at++) {
        if (++digits > 3)
            return -EINVAL;
        thousandths = thousandths * 10 + (uint64_t)(*at - '0');
    }
    if (digits == 0)
        return -EINVAL;
    for (; digits < 3; digits++)
        thousandths *= 10;
    *text = at;
    *ret_thousandths = thousandths;
    return 0;
}

int units_parse_number(const char *text, uint64_t *ret_number)
{
    uint64_t number;
    int r = take_digits(&text, &number);

    if (r < 0)
        return r;
    if (*text != '\0')
        return -EINVAL;
    *ret_number = number;
    return 0;
}

static int parse_with_unit(const char *text, const struct unit *units, size_t count, uint64_t *ret_value)
{
    uint64_t whole, thousandths, value, part;
    int r;

    r = take_digits(&text, &whole);
    if (r < 0)
        return r;
    r = take_thousandths(&text, &thousandths);
    if (r < 0)
        return r;
    if (*text == '\0' && whole == 0 && thousandths == 0) {
        *ret_value = 0;
        return 0;
    }
    for (size_t i = 0; i < count; i++) {
        if (strcmp(text, units[i].name) != 0)
            continue;
        if (thousandths * units[i].factor % 1000 != 0)
            return -EINVAL; /* half a millisecond or half a byte */
        part = thousandths * units[i].factor / 1000;
        if (__builtin_mul_overflow(whole, units[i].factor, &value) || __builtin_add_overflow(value, part, &value))
            return -ERANGE;
        *ret_value = value;
        return 0;
    }
    return -EINVAL;
}

int units_parse_duration(const char *text, uint64_t *ret_ms)
{
    return parse_with_unit(text, duration_units, ARRAY_SIZE(duration_units), ret_ms);
}

int units_parse_size(const char *text, uint64_t *ret_bytes)
{
    return parse_with_unit(text, size_units, ARRAY_SIZE(size_units), ret_bytes);
}

int units_parse_percent(const char *text, uint64_t *ret_basis_points)
{
    uint64_t whole, thousandths;
    int r;

    r = take_digits(&text, &whole);
    if (r < 0)
        return r;
    r = take_thousandths(&text, &thousandths);
    if (r < 0)
        return r;
    if (strcmp(text, "%") != 0 || thousandths % 10 != 0)
        return -EINVAL;
    if (whole > 100 || (whole == 100 && thousandths > 0))
        return -ERANGE;
    *ret_basis_points = whole * 100 + thousandths / 10;
    return 0;
}

static void format_with_unit(uint64_t value, const struct unit *units, size_t count, char *text)
{
    size_t i;

    for (i = 0; i + 1 < count; i++) {
        if (value != 0 && value % units[i].factor == 0)
            break;
    }
    if (value == 0 && units == duration_units)
        i = count - 2; /* 0s */
    snprintf(text, UNITS_TEXT_SIZE, "%" PRIu64 "%s", value / units[i].factor, units[i].name);
}

void units_format_duration(uint64_t ms, char *text)
{
    format_with_unit(ms, duration_units, ARRAY_SIZE(duration_units), text);
}

void units_format_size(uint64_t bytes, char *text)
{
    format_with_unit(bytes, size_units, ARRAY_SIZE(size_units), text);
}

void units_format_percent(uint64_t basis_points, char *text)
{
    uint64_t whole = basis_points / 100, rest = basis_points % 100;

    if (rest == 0)
        snprintf(text, UNITS_TEXT_SIZE, "%" PRIu64 "%%", whole);
    else if (rest % 10 == 0)
        snprintf(text, UNITS_TEXT_SIZE, "%" PRIu64 ".%" PRIu64 "%%", whole, rest / 10);
    else
        snprintf(text, UNITS_TEXT_SIZE, "%" PRIu64 ".%02" PRIu64 "%%", whole, rest);
}

const char *units_format_rounded_size(uint64_t bytes, char *text)
{
    static const char *const names[] = { "B", "KiB", "MiB", "GiB", "TiB" };
    uint64_t whole = bytes, tenths = 0;
    size_t unit = 0;

    while (whole >= 1024 && unit + 1 < sizeof names / sizeof *names) {
        tenths = whole % 1024 * 10 / 1024;
        whole /= 1024;
        unit++;
    }
    if (unit == 0)
        snprintf(text, UNITS_TEXT_SIZE, "%" PRIu64 " B", whole);
    else
        snprintf(text, UNITS_TEXT_SIZE, "%" PRIu64 ".%" PRIu64 " %s", whole, tenths, names[unit]);
    return text;
}

const char *units_format_rounded_duration(uint64_t ms, char *text)
{
    uint64_t seconds = ms / 1000;

    if (seconds < 60)
        snprintf(text, UNITS_TEXT_SIZE, "%" PRIu64 "s", seconds);
    else if (seconds < 3600)
        snprintf(text, UNITS_TEXT_SIZE, "%" PRIu64 "m%02" PRIu64 "s", seconds / 60, seconds % 60);
    else if (seconds < 86400)
        snprintf(text, UNITS_TEXT_SIZE, "%" PRIu64 "h%02" PRIu64 "m", seconds / 3600, seconds / 60 % 60);
    else
        snprintf(text, UNITS_TEXT_SIZE, "%" PRIu64 "d%02" PRIu64 "h", seconds / 86400, seconds / 3600 % 24);
    return text;
}

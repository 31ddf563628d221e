/*
 * The values people write in the configuration and on command lines: durations (`250ms`, `5s`, `1h`), sizes (`64KiB`),
 * percentages (`20%`) and whole numbers. Each parser takes the whole text or refuses it. All are pure.
 *
 * Each returns 0, -EINVAL when the text has another form, or -ERANGE when the value does not fit.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define UNITS_TEXT_SIZE 24

int units_parse_number(const char *text, uint64_t *ret_number);

/* Units ms, s, m, h, d; a fraction is allowed (`1.5s`); a bare `0` is zero. The result is in milliseconds. */
int units_parse_duration(const char *text, uint64_t *ret_ms);

/* Units B, KiB, MiB, GiB; a bare `0` is zero. The result is in bytes. */
int units_parse_size(const char *text, uint64_t *ret_bytes);

/* `0%` to `100%` with at most two decimals. The result is in hundredths of a percent. */
int units_parse_percent(const char *text, uint64_t *ret_basis_points);

/* The shortest text that parses to the same value. `text` has UNITS_TEXT_SIZE bytes. */
void units_format_duration(uint64_t ms, char *text);
void units_format_size(uint64_t bytes, char *text);
void units_format_percent(uint64_t basis_points, char *text);

/* For people, rounded down: 1234567 as `1.1 MiB`; 3723 s as `1h02m`, 75 s as `1m15s`. Each returns `text`. */
const char *units_format_rounded_size(uint64_t bytes, char *text);
const char *units_format_rounded_duration(uint64_t ms, char *text);

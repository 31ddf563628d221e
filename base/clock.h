/* Monotonic time in milliseconds. Code that units test takes `now_ms` as an argument and never asks here. */
#pragma once

#include <stdint.h>

/* Milliseconds since an unspecified start; never goes back. Reads the vDSO, makes no system call. Any thread. */
uint64_t clock_now_ms(void);

/* Seconds since the epoch with their fraction, for log lines and metrics only. Any thread. */
double clock_wall_seconds(void);

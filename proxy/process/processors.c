#include "proxy/process/processors.h"

#include <inttypes.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/file.h"
#include "base/macros.h"

#define CGROUP2_MAX    "/sys/fs/cgroup/cpu.max"
#define CGROUP1_QUOTA  "/sys/fs/cgroup/cpu/cpu.cfs_quota_us"
#define CGROUP1_PERIOD "/sys/fs/cgroup/cpu/cpu.cfs_period_us"

/* Up to two numbers at the start of a small file; returns how many there were. */
static int read_numbers(const char *path, uint64_t *first, uint64_t *second)
{
    char *text;
    size_t length;
    int found;

    if (file_read(path, 256, &text, &length) < 0)
        return 0;
    found = sscanf(text, "%" SCNu64 " %" SCNu64, first, second);
    free(text);
    return found;
}

/* Whole processors of the quota; 0 without one ("max", or -1 under version 1). */
static uint64_t cgroup_quota(void)
{
    uint64_t quota = 0, period = 0, unused;

    if (read_numbers(CGROUP2_MAX, &quota, &period) != 2 &&
        (read_numbers(CGROUP1_QUOTA, &quota, &unused) != 1 || quota > UINT32_MAX ||
         read_numbers(CGROUP1_PERIOD, &period, &unused) != 1))
        return 0;
    return period > 0 ? (quota + period - 1) / period : 0;
}

unsigned processors_available(void)
{
    cpu_set_t set;
    unsigned count = 1;
    uint64_t quota = cgroup_quota();

    if (sched_getaffinity(0, sizeof set, &set) == 0)
        count = (unsigned)MAX(CPU_COUNT(&set), 1);
    return quota > 0 ? (unsigned)MIN(count, quota) : count;
}

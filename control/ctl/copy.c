/* `copy`: this program to where an app's container finds it. An image made from scratch has no cp. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "control/ctl/ctl.h"

static int copy_bytes(int from, int to)
{
    char bytes[16384];
    ssize_t n;

    while ((n = read(from, bytes, sizeof bytes)) > 0) {
        for (ssize_t written = 0, m; written < n; written += m) {
            m = write(to, bytes + written, (size_t)(n - written));
            if (m < 0)
                return -errno;
        }
    }
    return n < 0 ? -errno : 0;
}

/* Beside the target first, then renamed over it: somebody may be running the old one. */
static int copy_to(const char *path)
{
    char beside[PATH_MAX];
    int from, to, r;

    if (snprintf(beside, sizeof beside, "%s.new", path) >= (int)sizeof beside)
        return -ENAMETOOLONG;
    from = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    if (from < 0)
        return -errno;
    to = open(beside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0755);
    r = to < 0 ? -errno : copy_bytes(from, to);
    if (r == 0 && fchmod(to, 0755) < 0)
        r = -errno;
    if (to >= 0 && close(to) < 0 && r == 0)
        r = -errno;
    if (r == 0 && rename(beside, path) < 0)
        r = -errno;
    if (r < 0 && to >= 0)
        unlink(beside);
    close(from);
    return r;
}

int ctl_copy(const struct ctl_options *options)
{
    const char *path = options->command[0];
    char inside[PATH_MAX];
    struct stat about;
    int r;

    if (stat(path, &about) == 0 && S_ISDIR(about.st_mode)) {
        snprintf(inside, sizeof inside, "%.*s/outriggerctl", (int)sizeof inside - 16, path);
        path = inside;
    }
    r = copy_to(path);
    if (r == 0)
        return CTL_DONE;
    fprintf(stderr, "outriggerctl: copy: %s: %s\n", path, strerror(-r));
    return CTL_NO;
}

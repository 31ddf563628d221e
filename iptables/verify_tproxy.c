#include "iptables/verify_tproxy.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/interception.h"

#include "iptables/route.h"

#define SETTINGS          "/proc/sys/net/ipv4/conf"
#define MOST_SETTING_PATH 512

/* A destination that is nobody's stands for all of them. */
static int check_routing(const char *name, const char *probe, uint32_t mark)
{
    union inet_address destination;
    struct route_query query = { .destination = &destination.any, .mark = mark };
    struct route route;
    int r;

    sockaddr_parse_host(probe, 0, &destination);
    r = route_find(&query, &route);
    if (r == -EAFNOSUPPORT || (r == 0 && route.is_local))
        return 0;
    fprintf(
        stderr,
        "outrigger-init: %s tproxy: packets with mark %u are not delivered on this machine, so what the app answers "
        "would not come back to the proxy: `ip rule` lacks the mark, or its table the route; `outrigger-init apply` "
        "adds both\n",
        name, mark);
    return -EPROTO;
}

static bool is_set(const char *interface)
{
    char path[MOST_SETTING_PATH];
    FILE *file;
    int value;

    snprintf(path, sizeof path, SETTINGS "/%s/src_valid_mark", interface);
    file = fopen(path, "re");
    if (!file)
        return false;
    value = fgetc(file);
    fclose(file);
    return value == '1';
}

/* With it the kernel asks for the way back with the packet's mark, finds this machine, and drops what came from
 * another.
 */
static int check_settings(void)
{
    DIR *directory = opendir(SETTINGS);
    struct dirent *entry;
    int r = 0;

    while (directory && (entry = readdir(directory))) {
        if (entry->d_name[0] == '.' || strcmp(entry->d_name, "default") == 0 || !is_set(entry->d_name))
            continue;
        fprintf(
            stderr,
            "outrigger-init: IPv4 tproxy: net.ipv4.conf.%s.src_valid_mark is 1, and the kernel drops marked packets "
            "as strays then; set it to 0, or use --mode redirect\n",
            entry->d_name);
        r = -EPROTO;
    }
    if (directory)
        closedir(directory);
    return r;
}

static int check_proxy(const char *answer, uint32_t mark)
{
    char mode[16];
    unsigned proxys_mark;

    if (!answer || sscanf(answer, INTERCEPTION_PROBE_WORD " %*s %15s mark %u", mode, &proxys_mark) != 2)
        return 0;
    if (mark == 0 && strcmp(mode, INTERCEPTION_MODE_TPROXY) == 0)
        printf("the running proxy is in mode tproxy, the rules are not: the app sees 127.0.0.6 or ::6; apply --mode "
               "tproxy\n");
    else if (mark != 0 && strcmp(mode, INTERCEPTION_MODE_REDIRECT) == 0)
        printf("the rules are of mode tproxy, the running proxy is not: the app sees 127.0.0.6 or ::6; set "
               "intercept.inbound.mode\n");
    else if (mark != 0 && proxys_mark != mark) {
        fprintf(
            stderr,
            "outrigger-init: tproxy: the running proxy marks its packets to the app with %u, the rules with %u: what "
            "the app answers would not come back; make intercept.inbound.tproxy_mark and --tproxy-mark the same\n",
            proxys_mark, mark);
        return -EPROTO;
    }
    return 0;
}

int verify_tproxy(const struct ruleset *ruleset, const char *answer)
{
    uint32_t mark = ruleset_mark(ruleset);
    int r = check_proxy(answer, mark);

    if (mark == 0)
        return r;
    if (check_routing("IPv4", INTERCEPTION_PROBE_IPV4, mark) < 0 ||
        check_routing("IPv6", INTERCEPTION_PROBE_IPV6, mark) < 0)
        r = -EPROTO;
    if (check_settings() < 0)
        r = -EPROTO;
    if (r == 0)
        printf("tproxy: packets with mark %u are delivered on this machine\n", mark);
    return r;
}

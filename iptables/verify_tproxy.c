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
    if (r == 0 && route.is_local)
        return 0;
    fprintf(
        stderr,
        "outrigger-init: %s tproxy: packets with mark %u are not delivered on this machine, so what the app answers "
        "would not come back to the proxy: `ip rule` lacks the mark, or its table the route; `outrigger-init apply` "
        "adds both\n",
        name, mark);
    return -EPROTO;
}

static bool is_set(const char *interface, const char *setting)
{
    char path[MOST_SETTING_PATH];
    FILE *file;
    int value;

    snprintf(path, sizeof path, SETTINGS "/%s/%s", interface, setting);
    file = fopen(path, "re");
    if (!file)
        return false;
    value = fgetc(file);
    fclose(file);
    return value == '1';
}

/* Whether the rules mark what comes in by it. */
static bool is_marked(const struct ruleset *ruleset, const char *interface)
{
    union inet_address source, destination;
    struct flow flow = { .in_interface = interface, .source = &source.any, .destination = &destination.any };
    const struct rule *rule;

    sockaddr_parse_host(INTERCEPTION_PROBE_IPV4, 0, &source);
    sockaddr_parse_host(INTERCEPTION_PROBE_IPV4, 1, &destination);
    rule = ruleset_decide(ruleset, CHAIN_TPROXY, &flow);
    return strcmp(interface, "lo") != 0 &&
           !(rule && rule->match_count > 0 && rule->matches[0].kind == MATCH_IN_INTERFACE);
}

/*
 * With src_valid_mark the kernel asks for the way back with the packet's mark, finds this machine, and drops what came
 * from another; unless accept_local allows that. Each counts when `all` has it, or the interface.
 */
static int check_settings(const struct ruleset *ruleset)
{
    bool all_marks = is_set("all", "src_valid_mark"), all_local = is_set("all", "accept_local");
    DIR *directory = opendir(SETTINGS);
    struct dirent *entry;
    int r = 0;

    while (directory && (entry = readdir(directory))) {
        const char *name = entry->d_name;

        if (name[0] == '.' || strcmp(name, "default") == 0 || strcmp(name, "all") == 0 || !is_marked(ruleset, name) ||
            !(all_marks || is_set(name, "src_valid_mark")) || all_local || is_set(name, "accept_local"))
            continue;
        fprintf(stderr,
                "outrigger-init: IPv4 tproxy: net.ipv4.conf.%s.src_valid_mark is 1, and the kernel drops what comes in "
                "by %s as strays then; set it to 0, or use --mode redirect\n",
                all_marks ? "all" : name, name);
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
        (route_has_ipv6() && check_routing("IPv6", INTERCEPTION_PROBE_IPV6, mark) < 0))
        r = -EPROTO;
    if (check_settings(ruleset) < 0)
        r = -EPROTO;
    if (r == 0)
        printf("tproxy: packets with mark %u are delivered on this machine\n", mark);
    return r;
}

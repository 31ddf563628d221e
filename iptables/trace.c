#include "iptables/trace.h"

#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>

#include "base/sockaddr.h"
#include "base/strbuf.h"
#include "iptables/complain.h"
#include "iptables/render.h"
#include "iptables/route.h"

#define MOST_RULE_BYTES 1024

struct question {
    union inet_address source, destination;
    struct route route;
    struct flow flow;
};

/* A socket for IPv6 sends IPv4 to such an address. */
static void unmap(union inet_address *address)
{
    struct sockaddr_in unmapped = { .sin_family = AF_INET };

    if (address->family != AF_INET6 || !IN6_IS_ADDR_V4MAPPED(&address->in6.sin6_addr))
        return;
    unmapped.sin_port = address->in6.sin6_port;
    memcpy(&unmapped.sin_addr, &address->in6.sin6_addr.s6_addr[12], sizeof unmapped.sin_addr);
    address->in = unmapped;
}

static bool is_unspecified(const union inet_address *address)
{
    return address->family == AF_INET ? address->in.sin_addr.s_addr == htonl(INADDR_ANY)
                                      : IN6_IS_ADDR_UNSPECIFIED(&address->in6.sin6_addr);
}

static int parse_addresses(const struct options *options, struct question *question)
{
    union sockaddr_any destination;
    const char *why;

    if (sockaddr_parse(options->to, &destination, &why) < 0 || destination.family == AF_UNIX)
        return complain_of_value("--to", options->to,
                                 "allowed: an address with its port, as 10.0.0.1:80, [fd00::1]:80");
    question->destination = destination.inet;
    unmap(&question->destination);
    sockaddr_parse_host(question->destination.family == AF_INET ? "0.0.0.0" : "::", 0, &question->source);
    if (!options->from)
        return 0;
    if (sockaddr_parse_host(options->from, 0, &question->source) < 0)
        return complain_of_value("--from", options->from, "allowed: an address without port, as 10.0.0.1, fd00::1");
    unmap(&question->source);
    if (question->source.family != question->destination.family)
        return complain_of_value("--from", options->from, "allowed: an address of the same family as --to");
    return 0;
}

/* The rules of another place (--dry-run) may have its interfaces. */
static int check_interface(const struct options *options, const char *source, const char *name)
{
    if (!name || options->dry_run || if_nametoindex(name) > 0)
        return 0;
    return complain_of_value(source, name, "there is no such interface here; `ip link` lists them");
}

static int check_interfaces(const struct options *options)
{
    int r = check_interface(options, "--in-interface", options->in_interface);

    if (options->in_interface && strcmp(options->in_interface, "lo") == 0)
        r = complain_of_value("--in-interface", "lo", "the rules decide when it leaves; ask without --in-interface");
    return r < 0 ? r : check_interface(options, "--out-interface", options->out_interface);
}

/* By which interface an outgoing connection leaves, and which source it has, where the options do not say. */
static int find_route(const struct options *options, struct question *question)
{
    struct route_query query = { .destination = &question->destination.any,
                                 .source = options->from ? &question->source.any : NULL,
                                 .uid = options->uid };
    uint16_t port = sockaddr_port(&question->destination.any);
    int r = 0;

    if (is_unspecified(&question->destination)) { /* means this machine; for IPv4 at the source's address */
        if (question->destination.family == AF_INET && options->from)
            question->destination = question->source;
        else
            sockaddr_parse_host(question->destination.family == AF_INET ? "127.0.0.1" : "::1", 0,
                                &question->destination);
        sockaddr_set_port(&question->destination.any, port);
    }
    if (query.source && !options->out_interface && !route_is_own(query.source))
        return -EADDRNOTAVAIL;
    if (options->out_interface)
        snprintf(question->route.interface, sizeof question->route.interface, "%s", options->out_interface);
    else
        r = route_find(&query, &question->route);
    if (r == 0 && !options->from && question->route.source.family == question->destination.family)
        question->source = question->route.source;
    return r;
}

static void print_question(const struct options *options, const struct question *question)
{
    char source[SOCKADDR_TEXT_SIZE], destination[SOCKADDR_TEXT_SIZE];

    if (options->from || question->route.source.family != AF_UNSPEC)
        sockaddr_format_host(&question->source.any, source);
    else
        snprintf(source, sizeof source, "any address");
    sockaddr_format(&question->destination.any, destination);
    if (options->in_interface)
        printf("connection  incoming by %s, from %s to %s\n", options->in_interface, source, destination);
    else
        printf("connection  outgoing by %s, uid %u, gid %u, from %s to %s\n", question->route.interface, options->uid,
               options->gid, source, destination);
}

static void print_rule(const struct ruleset *ruleset, const struct rule *rule)
{
    struct strbuf text;

    if (!rule) {
        printf("rule        none: no rule is about it\n");
        return;
    }
    strbuf_init(&text, MOST_RULE_BYTES);
    render_rule(rule, &text);
    printf("rule        %s %u: %s\n", ruleset_chain_place(rule->chain)->name, render_number(ruleset, rule), text.text);
    strbuf_done(&text);
    printf("reason      %s\n", rule->reason);
}

static void print_landing(const struct ruleset *ruleset, const struct rule *rule, bool is_link_local)
{
    switch (ruleset_landing(ruleset, rule)) {
    case LANDS_DIRECT:
        printf("lands       direct\n");
        break;
    case LANDS_OUTBOUND:
        if (is_link_local)
            printf("lands       nowhere: redirected to port %u, and not delivered: the address is link-local\n",
                   rule->port);
        else
            printf("lands       outbound capture, port %u\n", rule->port);
        break;
    case LANDS_INBOUND:
        printf("lands       inbound capture, port %u%s\n", rule->port,
               rule->verdict == VERDICT_TPROXY ? ", with the client's own address" : "");
        break;
    case LANDS_DROPPED:
        printf("lands       dropped\n");
        break;
    }
}

static void print_nowhere(const struct options *options, const struct question *question, int error)
{
    char destination[SOCKADDR_TEXT_SIZE];

    printf("connection  outgoing, uid %u, gid %u, to %s\nlands       nowhere: ", options->uid, options->gid,
           sockaddr_format(&question->destination.any, destination));
    if (error == -EADDRNOTAVAIL)
        puts("the source is no address of this machine");
    else
        puts(error == -EINVAL && !options->from ? "the route is a blackhole" : strerror(-error));
}

static bool asks_for_source(const struct ruleset *ruleset)
{
    for (size_t i = 0; i < ruleset->count; i++) {
        const struct rule *rule = &ruleset->rules[i];

        for (size_t j = 0; j < rule->match_count; j++) {
            if (rule->chain == CHAIN_INBOUND && rule->matches[j].kind == MATCH_SOURCE)
                return true;
        }
    }
    return false;
}

int trace_run(const struct options *options, const struct ruleset *ruleset)
{
    struct question question = { 0 };
    const struct rule *rule;
    int r = parse_addresses(options, &question);

    if (r == 0)
        r = check_interfaces(options);
    if (r < 0)
        return r;
    if (options->in_interface && !options->from && asks_for_source(ruleset))
        return complain("trace needs --from ADDRESS: a rule asks for the source");
    if (!options->in_interface) {
        r = find_route(options, &question);
        if (r < 0) {
            print_nowhere(options, &question, r);
            return 0;
        }
    }
    question.flow = (struct flow){ .in_interface = options->in_interface,
                                   .out_interface = options->in_interface ? NULL : question.route.interface,
                                   .uid = options->uid,
                                   .gid = options->gid,
                                   .source = &question.source.any,
                                   .destination = &question.destination.any };
    rule = ruleset_trace(ruleset, &question.flow);
    print_question(options, &question);
    print_rule(ruleset, rule);
    print_landing(ruleset, rule,
                  question.destination.family == AF_INET6 &&
                      IN6_IS_ADDR_LINKLOCAL(&question.destination.in6.sin6_addr));
    return 0;
}

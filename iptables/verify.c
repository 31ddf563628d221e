#include "iptables/verify.h"

#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/interception.h"
#include "iptables/decode.h"
#include "iptables/probe.h"
#include "iptables/route.h"
#include "iptables/target.h"
#include "iptables/verify_tproxy.h"

/* All proofs of one run. */
struct verification {
    const struct ruleset *ruleset;
    uint64_t timeout_ms;
    unsigned proven;
    char answer[INTERCEPTION_PROBE_ANSWER_SIZE]; /* the running proxy's last one; empty: none */
};

/* One proof: what was tried, and what came of it. */
struct proof {
    const char *name; /* of the family */
    const char *direction;
    bool is_inbound;
    struct target target;
    struct probe_report report;
    uint64_t counted_before; /* packets of the target's rule */
    bool is_held;            /* somebody else listens on the capture port */
    bool has_arrived;
};

/* How many packets the rule has seen; UINT64_MAX when it is not known. */
static uint64_t packets_of(const struct ruleset *ruleset, const struct rule *rule)
{
    struct ruleset found = { 0 };
    uint64_t packets = UINT64_MAX;
    unsigned strange;

    if (decode_read(&found, &strange) == 0 && ruleset_equal(&found, ruleset))
        packets = found.rules[rule - ruleset->rules].packets;
    ruleset_done(&found);
    return packets;
}

static void print_unproven(const struct proof *proof, const char *why, const char *detail)
{
    printf("%s %s: not verified: %s%s\n", proof->name, proof->direction, why, detail);
}

static void print_proven(const struct proof *proof)
{
    char destination[SOCKADDR_TEXT_SIZE];

    printf("%s %s: verified: a connection to %s arrived at port %u, %s\n", proof->name, proof->direction,
           sockaddr_format(&proof->target.destination.any, destination), proof->target.rule->port,
           proof->is_held ? "and the running proxy answered" : "where no proxy listens yet");
}

static bool is_up(const char *name)
{
    struct ifaddrs *all, *one;
    bool up = false;

    if (getifaddrs(&all) < 0)
        return true; /* not known: no reason to say otherwise */
    for (one = all; one; one = one->ifa_next)
        up |= strcmp(one->ifa_name, name) == 0 && (one->ifa_flags & IFF_UP);
    freeifaddrs(all);
    return up;
}

/* What went wrong, from the little that can be seen, and what to do about it. */
static const char *explain_failure(const struct proof *proof, bool was_asked)
{
    if (!is_up("lo"))
        return "lo is down, and what is redirected goes through it: `ip link set lo up`";
    if (proof->target.destination.family == AF_INET6 && !route_has_ipv6())
        return "IPv6 is disabled on lo (net.ipv6.conf.lo.disable_ipv6), and what is redirected goes through it";
    if (!was_asked)
        return "the rules were not asked: another table takes or drops the connection before them; look for NAT and "
               "drop rules of an earlier priority in `nft list ruleset` (and `iptables-save`)";
    if (proof->is_held && proof->report.error == -ECONNREFUSED)
        return "the rules send it there, but the port refuses it: something holds the port without listening; start "
               "the proxy, or end what holds it (`ss -ltnp`)";
    if (proof->is_held && proof->report.error == 0 && proof->report.answer[0] != '\0')
        return "it lands elsewhere: something else than the proxy answers there, or the proxy of another connection; "
               "see who it is with `ss -ltnp`";
    if (proof->is_held && (proof->report.error == 0 || proof->report.error == -ETIMEDOUT))
        return "what listens there does not answer: the proxy is stuck, or it is something else, or another table "
               "drops the connection after the rules; see `outriggerctl status`, `ss -ltnp`, `nft list ruleset`";
    return "the rules send it there, but it lands elsewhere: another table changes it after them; look for NAT and "
           "drop rules in `nft list ruleset`";
}

static int report_failure(const struct proof *proof, const struct ruleset *ruleset)
{
    uint64_t after = packets_of(ruleset, proof->target.rule);
    bool was_asked = after == UINT64_MAX || proof->counted_before == UINT64_MAX || after > proof->counted_before;
    char destination[SOCKADDR_TEXT_SIZE];

    fprintf(stderr, "outrigger-init: %s %s: a connection to %s did not arrive at port %u (%s): %s\n", proof->name,
            proof->direction, sockaddr_format(&proof->target.destination.any, destination), proof->target.rule->port,
            proof->report.error == 0 ? "connected" : strerror(-proof->report.error), explain_failure(proof, was_asked));
    return -EPROTO;
}

/* Whatever follows the destination. */
static bool is_answer(const struct proof *proof)
{
    char expected[SOCKADDR_TEXT_SIZE + 16], destination[SOCKADDR_TEXT_SIZE];
    int length = snprintf(expected, sizeof expected, INTERCEPTION_PROBE_WORD " %s ",
                          sockaddr_format(&proof->target.destination.any, destination));

    return strncmp(proof->report.answer, expected, (size_t)length) == 0;
}

/* Dials, and listens where nobody else does. Returns 0 when it could be tried, or a negative errno. */
static int try_target(struct verification *verification, struct proof *proof)
{
    struct probe probe = { .destination = proof->target.destination,
                           .source = proof->target.source,
                           .becomes_other = true,
                           .uid = proof->target.uid,
                           .gid = proof->target.gid,
                           .deadline_ms = clock_now_ms() + verification->timeout_ms };
    int listener = -1, r = probe_listen(proof->target.destination.family, proof->target.rule->port, &listener);

    proof->is_held = r == -EADDRINUSE;
    if (r < 0 && !proof->is_held)
        return r;
    probe.reads_answer = proof->is_held;
    r = probe_dial(&probe, &proof->report);
    if (r == 0 && proof->report.error == 0)
        proof->has_arrived = proof->is_held ? is_answer(proof)
                                            : probe_has_arrived(listener, &proof->target.destination,
                                                                &proof->report.source, probe.deadline_ms);
    if (proof->has_arrived && proof->is_held)
        memcpy(verification->answer, proof->report.answer, sizeof verification->answer);
    if (listener >= 0)
        close(listener);
    return r;
}

static bool is_without_family(int r)
{
    return r == -EAFNOSUPPORT || r == -EADDRNOTAVAIL;
}

static int prove(struct verification *verification, struct proof *proof)
{
    int r;

    proof->counted_before = packets_of(verification->ruleset, proof->target.rule);
    r = try_target(verification, proof);
    if (is_without_family(r) || (r == 0 && is_without_family(proof->report.error))) {
        print_unproven(proof, "there is no ", proof->name);
        return 0;
    }
    if (r < 0) {
        fprintf(stderr, "outrigger-init: %s %s: port %u: %s\n", proof->name, proof->direction, proof->target.rule->port,
                strerror(-r));
        return -EPROTO;
    }
    if (proof->report.not_tried) {
        print_unproven(proof,
                       proof->is_inbound
                           ? "the rules know the proxy by its uid and gid, and this process may not become another: "
                           : "it takes a user or group that is captured, and this process may not become another: ",
                       strerror(-proof->report.error));
        return 0;
    }
    if (proof->has_arrived) {
        print_proven(proof);
        verification->proven++;
        return 0;
    }
    if (proof->is_held && proof->report.error == 0 && !proof->target.is_known_to_proxy) {
        print_unproven(proof, "a running proxy holds the port, and could not know this for a probe", "");
        return 0;
    }
    return report_failure(proof, verification->ruleset);
}

static int verify_outbound(struct verification *verification, const char *name, sa_family_t family)
{
    struct proof proof = { .name = name, .direction = "outbound" };
    int r = target_choose_outbound(verification->ruleset, family, &proof.target);

    if (r == 0)
        return prove(verification, &proof);
    print_unproven(&proof,
                   r == -ENOENT ? "these rules capture nothing of it" : "no route to anything that these rules capture",
                   "");
    return 0;
}

static int verify_inbound(struct verification *verification, const char *name, sa_family_t family)
{
    struct proof proof = { .name = name, .direction = "inbound", .is_inbound = true };

    if (target_choose_inbound(verification->ruleset, family, &proof.target) == 0)
        return prove(verification, &proof);
    print_unproven(&proof, "these rules leave the app's calls of its own service alone", "");
    return 0;
}

int verify_run(const struct ruleset *ruleset, uint64_t timeout_ms, unsigned *ret_proven)
{
    struct verification verification = { .ruleset = ruleset, .timeout_ms = timeout_ms };
    bool failed = verify_outbound(&verification, "IPv4", AF_INET) < 0;

    failed |= verify_inbound(&verification, "IPv4", AF_INET) < 0;
    failed |= verify_outbound(&verification, "IPv6", AF_INET6) < 0;
    failed |= verify_inbound(&verification, "IPv6", AF_INET6) < 0;
    failed |= verify_tproxy(ruleset, verification.answer) < 0;
    *ret_proven = verification.proven;
    return failed ? -EPROTO : 0;
}

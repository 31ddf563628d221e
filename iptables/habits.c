#include "iptables/habits.h"

#include <stddef.h>

#define ALIAS(name, ours)                       \
    {                                           \
        name, 0, false, HABIT_ALIAS, ours, NULL \
    }
#define COMMAND(name, ours)                       \
    {                                             \
        name, 0, false, HABIT_COMMAND, ours, NULL \
    }
#define IGNORED(name, why)                       \
    {                                            \
        name, 0, false, HABIT_IGNORED, NULL, why \
    }
#define UNREAD(name, why)                       \
    {                                           \
        name, 0, true, HABIT_IGNORED, NULL, why \
    } /* with a value */
#define REFUSED(name, why)                       \
    {                                            \
        name, 0, false, HABIT_REFUSED, NULL, why \
    }
#define UNWANTED(name, why)                     \
    {                                           \
        name, 0, true, HABIT_REFUSED, NULL, why \
    } /* with a value */

#define NOT_IPTABLES "the rules are nftables' own"
#define NO_LOG       "there is no log, only what is printed"
#define TCP_ONLY     "outrigger carries TCP only"
#define NO_NETNS     "run it inside that network namespace (`ip netns exec`, `nsenter --net`)"

const struct habit habits[] = {
    /* istio-iptables */
    ALIAS("envoy-port", "outbound-port"),
    ALIAS("inbound-capture-port", "inbound-port"),
    ALIAS("istio-inbound-interception-mode", "mode"),
    ALIAS("istio-inbound-tproxy-mark", "tproxy-mark"),
    ALIAS("istio-inbound-tproxy-route-table", "tproxy-route-table"),
    ALIAS("istio-inbound-ports", "include-inbound-ports"),
    ALIAS("istio-local-exclude-ports", "exclude-inbound-ports"),
    ALIAS("istio-exclude-interfaces", "exclude-interfaces"),
    ALIAS("istio-service-cidr", "include-outbound-cidrs"),
    ALIAS("istio-service-exclude-cidr", "exclude-outbound-cidrs"),
    ALIAS("istio-outbound-ports", "include-outbound-ports"),
    ALIAS("istio-local-outbound-ports-exclude", "exclude-outbound-ports"),
    ALIAS("kube-virt-interfaces", "virtual-interfaces"),
    ALIAS("probe-timeout", "verify-timeout"),
    IGNORED("run-validation", "the rules are always proven (but for --no-verify)"),
    UNREAD("iptables-probe-port", "the proof listens on the capture port itself"),
    UNREAD("nftables-probe-port", "the proof listens on the capture port itself"),
    { "restore-format", 'f', false, HABIT_IGNORED, NULL, NOT_IPTABLES },
    IGNORED("force-apply", "an older table is always replaced"),
    IGNORED("reconcile", "an older table is always replaced"),
    COMMAND("cleanup-only", "remove"),
    IGNORED("native-nftables", NOT_IPTABLES),
    IGNORED("iptables-trace-logging", "`show --explain` tells what each rule has seen"),
    IGNORED("nftables-trace-logging", "`show --explain` tells what each rule has seen"),
    IGNORED("dual-stack", "IPv4 and IPv6 are always captured"),
    UNREAD("log_output_level", NO_LOG),
    IGNORED("log_as_json", NO_LOG),
    UNREAD("log_caller", NO_LOG),
    UNREAD("log_stacktrace_level", NO_LOG),
    UNREAD("log_target", NO_LOG),
    REFUSED("redirect-dns", TCP_ONLY),
    REFUSED("capture-all-dns", TCP_ONLY),
    REFUSED("skip-rule-apply", "use the command `verify`"),
    REFUSED("cni-mode", NO_NETNS),
    UNWANTED("network-namespace", NO_NETNS),
    REFUSED("host-nsenter-exec", NO_NETNS),
    /* linkerd's proxy-init */
    ALIAS("outgoing-proxy-port", "outbound-port"),
    ALIAS("incoming-proxy-port", "inbound-port"),
    ALIAS("ports-to-redirect", "include-inbound-ports"),
    ALIAS("inbound-ports-to-ignore", "exclude-inbound-ports"),
    ALIAS("outbound-ports-to-ignore", "exclude-outbound-ports"),
    ALIAS("subnets-to-ignore", "exclude-inbound-cidrs"),
    ALIAS("simulate", "dry-run"),
    UNREAD("timeout-close-wait-secs", "the proxy's keepalive keeps conntrack's entries"),
    IGNORED("use-wait-flag", NOT_IPTABLES),
    UNREAD("iptables-mode", NOT_IPTABLES),
    IGNORED("ipv6", "IPv4 and IPv6 are always captured"),
    UNREAD("firewall-bin-path", NOT_IPTABLES),
    UNREAD("firewall-save-bin-path", NOT_IPTABLES),
    UNREAD("log-format", NO_LOG),
    UNREAD("log-level", NO_LOG),
    UNWANTED("netns", NO_NETNS),
    { NULL, 0, false, HABIT_IGNORED, NULL, NULL },
};

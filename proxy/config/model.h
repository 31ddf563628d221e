/*
 * The configuration as plain structs: what the data path and the control side read. Filled by config_load(), never
 * changed afterwards; the memory belongs to `struct config`. The keys are described in schema.c, one row each.
 * Units are in the names. Thread: any, read only.
 */
#pragma once

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/arena.h"
#include "base/cidr.h"
#include "base/port_range.h"
#include "base/sockaddr.h"

/* "No limit", where a row allows 0 to mean that. */
#define CONFIG_UNLIMITED 0

/* The value of a number that was given, or left, as `auto`. */
#define CONFIG_AUTO UINT64_MAX

enum discovery {
    DISCOVERY_STATIC,
    DISCOVERY_DNS,
    DISCOVERY_ORIGINAL_DESTINATION,
};

enum inbound_mode {
    INBOUND_REDIRECT,
    INBOUND_TPROXY,
};

enum unmatched_policy {
    UNMATCHED_PASSTHROUGH,
    UNMATCHED_REFUSE,
};

/* Bits of retry_config.on. */
enum retry_cause {
    RETRY_ON_REFUSED = 1 << 0,
    RETRY_ON_TIMEOUT = 1 << 1,
    RETRY_ON_UNREACHABLE = 1 << 2,
    RETRY_ON_RESET_BEFORE_REPLY = 1 << 3,
    RETRY_ON_TLS = 1 << 4,
};

/* Bits of outlier_config.on. */
enum outlier_cause {
    OUTLIER_ON_CONNECT = 1 << 0,
    OUTLIER_ON_RESET_BEFORE_REQUEST = 1 << 1,
    OUTLIER_ON_RESET_BEFORE_REPLY = 1 << 2,
    OUTLIER_ON_FIRST_BYTE_TIMEOUT = 1 << 3,
    OUTLIER_ON_TLS = 1 << 4,
};

/* How endpoints are spoken to. */
enum upstream_tls_mode {
    UPSTREAM_TLS_DISABLED,
    UPSTREAM_TLS_MUTUAL,
    UPSTREAM_TLS_AUTO, /* mutual where the endpoint can */
};

/* What clients of the app may speak. */
enum inbound_tls_mode {
    INBOUND_TLS_DISABLED,   /* nothing is looked at */
    INBOUND_TLS_PERMISSIVE, /* the mesh's TLS, or anything else */
    INBOUND_TLS_STRICT,     /* the mesh's TLS only */
    INBOUND_TLS_INHERIT,    /* of a port: as intercept.inbound.tls says */
};

enum proxy_protocol {
    PROXY_PROTOCOL_NONE,
    PROXY_PROTOCOL_V1,
    PROXY_PROTOCOL_V2,
};

enum lb_policy {
    LB_LEAST_CONNECTIONS,
    LB_ROUND_ROBIN,
    LB_RANDOM,
    LB_SOURCE_HASH,
};

enum uid_rule_kind {
    UID_RULE_ANY,
    UID_RULE_OWN, /* the uid that the proxy runs as */
    UID_RULE_NUMBER,
};

struct uid_rule {
    enum uid_rule_kind kind;
    uid_t uid;
};

struct uid_rules {
    struct uid_rule *items;
    size_t count;
};

struct cidr_list {
    struct cidr *items;
    size_t count;
};

struct port_list {
    struct port_range *items;
    size_t count;
};

struct name_list {
    const char **items; /* in small letters */
    size_t count;
};

struct log_config {
    uint64_t level;  /* enum log_level */
    uint64_t format; /* enum log_format */
};

/* An address, or a name and a port. */
struct host_address {
    union sockaddr_any address; /* AF_UNSPEC with a name */
    const char *host;           /* NULL with an address */
    uint16_t port;              /* of the name */
};

enum access_log_filter {
    ACCESS_LOG_NONE,
    ACCESS_LOG_ERRORS, /* ends that were not meant */
    ACCESS_LOG_ALL,
};

enum access_log_sink_type {
    ACCESS_LOG_STDOUT,
    ACCESS_LOG_FILE,
    ACCESS_LOG_SYSLOG,
};

enum syslog_transport {
    SYSLOG_UDP,
    SYSLOG_TCP,
    SYSLOG_TLS,
};

#define SYSLOG_LOCAL0 16 /* RFC 5424, 6.2.1 */

struct access_log_sink_config {
    uint64_t type;               /* enum access_log_sink_type */
    const char *path;            /* of a file; NULL: none */
    struct host_address address; /* of a collector */
    uint64_t transport;          /* enum syslog_transport; a unix socket has datagrams */
    uint64_t facility;
    const char *app_name;
    const char *trust_bundle, *server_name; /* of TLS; NULL: none */
    uint64_t buffer_bytes;
};

struct access_log_config {
    uint64_t filter;      /* enum access_log_filter */
    uint64_t sampling;    /* of ends that were meant, in hundredths of a percent */
    uint64_t interval_ms; /* lines for connections that are open still; 0 = none */
    struct {
        struct access_log_sink_config *items; /* none: standard output */
        size_t count;
    } sinks;
};

struct admin_config {
    uint64_t port; /* 0: none */
};

struct health_config {
    uint64_t port;
};

struct control_config {
    const char *path;
    struct {
        struct uid_rules read, quit, all;
    } allow;
};

struct limits_config {
    uint64_t max_connections;                         /* CONFIG_AUTO: from the descriptors at hand */
    uint64_t max_connections_per_source, accept_rate; /* of inbound and plain listeners */
    uint64_t buffer_memory_bytes;
    uint64_t buffer_per_connection_bytes; /* each direction */
    uint64_t tls_handshakes;              /* of clients, at one time */
};

struct drain_config {
    uint64_t delay_ms, minimum_ms, timeout_ms, spread_ms;
};

struct takeover_config {
    uint64_t timeout_ms;
};

struct timeouts_config {
    uint64_t connect_ms, first_byte_ms, idle_ms, half_close_ms, max_duration_ms, dead_peer_ms,
        keepalive_ms; /* 0 = off, where the row allows it */
};

struct load_balancing_config {
    uint64_t policy; /* enum lb_policy */
    uint64_t zone_aware;
    uint64_t slow_start_ms;
};

struct retry_budget_config {
    uint64_t percent; /* hundredths of a percent */
    uint64_t min_per_second, burst, window_ms;
};

struct retry_config {
    uint64_t attempts;
    uint64_t on; /* enum retry_cause bits */
    struct {
        uint64_t base_ms, max_ms;
    } backoff;
    struct retry_budget_config budget;
    uint64_t hedge_after_ms; /* 0 = off */
    uint64_t replay_bytes;
};

struct circuit_breaker_config {
    uint64_t max_connections, max_pending, max_retries;
    uint64_t pending_timeout_ms;
};

struct outlier_config {
    uint64_t consecutive_failures; /* 0 = nothing is ejected */
    uint64_t on;                   /* enum outlier_cause bits */
    uint64_t base_ejection_ms, max_ejection_ms;
    uint64_t max_ejected, panic_threshold; /* hundredths of a percent */
};

/* With sni alone: every address. */
struct match_config {
    struct cidr_list addresses;
    struct name_list hosts; /* resolved while the proxy runs */
    struct name_list sni;   /* empty = not looked at */
    struct port_list ports; /* empty = every port */
};

enum health_check_type {
    HEALTH_CHECK_TCP,
    HEALTH_CHECK_SEND_EXPECT,
    HEALTH_CHECK_HTTP,
    HEALTH_CHECK_NONE,
};

struct health_check_config {
    uint64_t present;
    uint64_t type; /* enum health_check_type */
    uint64_t interval_ms, timeout_ms, rise, fall;
    uint64_t port;             /* 0: the endpoint's */
    const char *send, *expect; /* NULL: nothing */
    const char *path, *host;   /* of HTTP; host NULL: "localhost" */
};

/* Percentages in hundredths of a percent. */
struct faults_config {
    struct {
        uint64_t percent, time_ms;
    } delay;
    struct {
        uint64_t percent;
    } refuse;
    struct {
        uint64_t percent, after_bytes;
    } reset;
    uint64_t bandwidth; /* bytes a second, 0 = no limit */
};

struct upstream_tls_config {
    uint64_t mode;                    /* enum upstream_tls_mode */
    struct name_list peer_identities; /* patterns, see spiffe_id.h; none: the own trust domain */
    uint64_t allow_plaintext;         /* while a name of `match` is not resolved */
};

struct inbound_tls_config {
    uint64_t mode; /* enum inbound_tls_mode */
    uint64_t detect_ms, handshake_timeout_ms;
};

/* Of an inbound port. */
struct client_limits_config {
    uint64_t max_connections, max_connections_per_source;
};

struct endpoint_config {
    struct host_address at;
    uint64_t weight, priority;
    const char *zone; /* NULL: none */
};

struct cluster_config {
    const char *name;
    uint64_t discovery; /* enum discovery */
    struct {
        struct match_config *items;
        size_t count;
    } match;
    struct {
        struct endpoint_config *items;
        size_t count;
    } endpoints;
    struct load_balancing_config load_balancing;
    struct timeouts_config timeouts;
    struct retry_config retry;
    struct circuit_breaker_config circuit_breaker;
    struct outlier_config outlier_detection;
    struct health_check_config health_check;
    uint64_t close_on_unhealthy, close_on_removal;
    uint64_t required;                /* for readiness */
    uint64_t proxy_protocol;          /* enum proxy_protocol: what its endpoints are told */
    uint64_t proxy_protocol_identity; /* and the identity that the client has proven */
    struct upstream_tls_config tls;
    struct inbound_tls_config client_tls; /* of inbound clusters: what holds for their ports; no keys of the cluster */
    struct client_limits_config client_limits; /* the same */
    struct faults_config faults;
};

struct dns_server_config {
    union sockaddr_any address;
};

struct dns_config {
    struct {
        struct dns_server_config *items;
        size_t count;
    } servers;
    uint64_t timeout_ms, attempts; /* each try waits longer than the one before */
};

struct listener_config {
    const char *name;
    union sockaddr_any address;
    const char *cluster;
    uint64_t accept_proxy_protocol;
};

struct inbound_port_config {
    struct port_list ports;
    struct {
        uint64_t mode, detect_ms; /* INBOUND_TLS_INHERIT, CONFIG_AUTO: those of intercept.inbound.tls */
    } tls;
    struct client_limits_config limits;
    struct cluster_config cluster;
};

struct intercept_config {
    uint64_t present;
    struct {
        uint64_t port;
        uint64_t unmatched; /* enum unmatched_policy */
        uint64_t inspect_delay_ms;
    } outbound;
    struct {
        uint64_t port;
        uint64_t mode; /* enum inbound_mode */
        uint64_t tproxy_mark;
        struct inbound_tls_config tls;
        struct {
            struct inbound_port_config *items;
            size_t count;
        } ports;
    } inbound;
    uint64_t require; /* readiness waits until interception is proven */
};

/* In the order in which they are looked at. */
enum match_sni_kind {
    MATCH_SNI_PEEK, /* stands before those that need the name: it must be known first. See route.h */
    MATCH_SNI_EXACT,
    MATCH_SNI_WILDCARD,
    MATCH_SNI_ANY,
};

/* One combination of a block, a port range and a server name out of some cluster's `match`. */
struct match_rule {
    struct cidr block;
    struct port_range ports;
    enum match_sni_kind sni_kind;
    const char *sni;    /* of a wildcard what is behind `*.`; "" where there is none */
    uint32_t cluster;   /* index into config.clusters */
    uint32_t order;     /* of its `match` in the file */
    bool is_resolved;   /* its block came out of a host's name */
    bool is_remembered; /* the name had it once: what has it now comes first */
};

/* The roots of another trust domain. */
struct federation_config {
    const char *trust_domain;
    const char *trust_bundle; /* a path */
};

/* Who this workload is, and whom it trusts. Paths of PEM files. */
struct identity_config {
    uint64_t present;
    const char *certificate, *private_key, *trust_bundle;
    const char *crl; /* NULL: none */
    const char *trust_domain;
    const char *spiffe_id; /* that the certificate must have; NULL: any of the trust domain */
    struct {
        struct federation_config *items;
        size_t count;
    } federation;
};

enum authorization_action {
    AUTHORIZATION_ALLOW,
    AUTHORIZATION_DENY,
};

/* Matches who fits every list that is not empty. */
struct authorization_rule {
    uint64_t action;             /* enum authorization_action */
    struct name_list identities; /* patterns, see spiffe_id.h */
    struct port_list ports;      /* the app's */
    struct cidr_list sources;
};

enum probe_type {
    PROBE_TCP,
    PROBE_HTTP,
    PROBE_GRPC,
};

enum probe_scheme {
    PROBE_SCHEME_HTTP,
    PROBE_SCHEME_HTTPS,
};

struct probe_header_config {
    const char *name, *value;
};

/* How the app is asked when /probe/NAME is. */
struct probe_config {
    const char *name;
    uint64_t type; /* enum probe_type */
    uint64_t port; /* of the app */
    uint64_t timeout_ms;
    uint64_t scheme;         /* enum probe_scheme */
    const char *path, *host; /* of HTTP; host NULL: the address */
    const char *service;     /* of gRPC; NULL: the whole server */
    struct {
        struct probe_header_config *items;
        size_t count;
    } headers;
};

struct probe_list {
    struct probe_config *items;
    size_t count;
};

struct config {
    struct arena arena; /* owns everything below */
    unsigned further_owners;
    uint64_t version;
    uint64_t workers; /* CONFIG_AUTO: from the processors at hand */
    const char *zone; /* the proxy's own; NULL: none */
    struct log_config log;
    struct access_log_config access_log;
    struct admin_config admin;
    struct health_config health;
    struct control_config control;
    struct limits_config limits;
    struct drain_config drain;
    struct takeover_config takeover;
    struct dns_config dns;
    struct intercept_config intercept;
    struct identity_config identity;
    struct {
        struct listener_config *items;
        size_t count;
    } listeners;
    struct {
        struct cluster_config *items;
        size_t count;
    } clusters;
    struct {
        struct match_rule *items; /* every match of every cluster but for hosts, most specific first */
        size_t count;
    } match_rules;
    struct {
        struct authorization_rule *items;
        size_t count;
    } authorization; /* inbound; the first that matches decides; with any, who matches none is denied */
    struct probe_list probes;
    const char *defaults_text;         /* `defaults` as it was written, on one line; NULL without */
    struct cluster_config inbound;     /* captured inbound connections without an entry of their own */
    struct cluster_config passthrough; /* captured outbound connections that match no cluster */
};

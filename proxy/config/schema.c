/* One row a key; this file grows with the keys and with nothing else. */
#include "proxy/config/schema.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/units.h"
#include "proxy/config/schema_rows.h"

static const char *const log_levels[] = { "error", "warning", "info", "debug", NULL };
static const char *const log_formats[] = { "json", "text", NULL };
static const char *const unmatched_policies[] = { "passthrough", "refuse", NULL };
static const char *const inbound_modes[] = { "redirect", "tproxy", NULL };
static const char *const inbound_tls_modes[] = { "disabled", "permissive", "strict", "inherit", NULL };
static const char *const all_inbound_tls_modes[] = { "disabled", "permissive", "strict", NULL };

static const struct field log_fields[] = {
    { .key = "level",
      .type = FIELD_ENUM,
      .offset = offsetof(struct log_config, level),
      .names = log_levels,
      .def = LOG_INFO,
      .reload = RELOAD_AT_ONCE,
      .doc = "The least important kind of message that is written." },
    { .key = "format",
      .type = FIELD_ENUM,
      .offset = offsetof(struct log_config, format),
      .names = log_formats,
      .def = LOG_FORMAT_JSON,
      .reload = RELOAD_AT_ONCE,
      .doc = "One JSON object or one plain text line a message, on standard error." },
};
static const struct section log_section = { .size = sizeof(struct log_config), FIELDS(log_fields) };

static const struct field admin_fields[] = {
    { .key = "port",
      .type = FIELD_NUMBER,
      .offset = offsetof(struct admin_config, port),
      .min = 0,
      .max = 65535,
      .def = 15000,
      .reload = RELOAD_RESTART,
      .doc = "Port of the admin address, on 127.0.0.1 and ::1: everything that can be asked, nothing that changes "
             "anything. 0: none." },
};
static const struct section admin_section = { .size = sizeof(struct admin_config), FIELDS(admin_fields) };

static const struct field health_fields[] = {
    { .key = "port",
      .type = FIELD_NUMBER,
      .offset = offsetof(struct health_config, port),
      .min = 1,
      .max = 65535,
      .def = 15021,
      .reload = RELOAD_RESTART,
      .doc = "Port of `/healthz/ready`, `/healthz/live` and `/metrics`, on every address." },
};
static const struct section health_section = { .size = sizeof(struct health_config), FIELDS(health_fields) };

#define ALLOW_OFFSET(member) (offsetof(struct control_config, allow.member) - offsetof(struct control_config, allow))
static const struct field allow_fields[] = {
    { .key = "read",
      .type = FIELD_UIDS,
      .offset = ALLOW_OFFSET(read),
      .min = 1,
      .max = 64,
      .def_text = "any",
      .reload = RELOAD_AT_ONCE,
      .doc = "Who may ask: readiness, status, metrics." },
    { .key = "quit",
      .type = FIELD_UIDS,
      .offset = ALLOW_OFFSET(quit),
      .min = 1,
      .max = 64,
      .def_text = "own 0",
      .reload = RELOAD_AT_ONCE,
      .doc = "Who may end the proxy with `quit`." },
    { .key = "all",
      .type = FIELD_UIDS,
      .offset = ALLOW_OFFSET(all),
      .min = 1,
      .max = 64,
      .def_text = "own 0",
      .reload = RELOAD_AT_ONCE,
      .doc = "Who may give every command." },
};
static const struct section allow_section = { FIELDS(allow_fields) };

static const struct field control_fields[] = {
    { .key = "path",
      .type = FIELD_PATH,
      .offset = offsetof(struct control_config, path),
      .min = 2,
      .max = 107,
      .def_text = "/run/outrigger/control.sock",
      .reload = RELOAD_RESTART,
      .doc = "The control socket." },
    { .key = "allow",
      .type = FIELD_SECTION,
      .offset = offsetof(struct control_config, allow),
      .section = &allow_section,
      .doc =
          "Which uids may give which command (checked with SO_PEERCRED): `any`, `own` (the proxy's uid) or a number." },
};
static const struct section control_section = { .size = sizeof(struct control_config), FIELDS(control_fields) };

static const struct field limits_fields[] = {
    { .key = "max_connections",
      .type = FIELD_NUMBER,
      .offset = offsetof(struct limits_config, max_connections),
      .min = 1,
      .max = 10000000,
      .def = CONFIG_AUTO,
      .keyword = "auto",
      .reload = RELOAD_AT_ONCE,
      .doc = "Accepted client connections at one time. `auto`: half of the descriptors, less a reserve." },
    { .key = "max_connections_per_source",
      .type = FIELD_NUMBER,
      .offset = offsetof(struct limits_config, max_connections_per_source),
      .max = 10000000,
      .reload = RELOAD_NEW_CONNECTIONS,
      .doc = "Connections of inbound and plain listeners at one time from one address, over all of them; 0: no limit. "
             "With "
             "`accept_proxy_protocol` it is the address that the header tells. Further ones are reset." },
    { .key = "accept_rate",
      .type = FIELD_NUMBER,
      .offset = offsetof(struct limits_config, accept_rate),
      .max = 1000000,
      .reload = RELOAD_AT_ONCE,
      .doc = "Connections that inbound and plain listeners accept a second, all together; 0: no limit. Further ones "
             "wait in the "
             "kernel's queue. After a pause, a tenth of a second's worth comes at once." },
    { .key = "buffer_memory",
      .type = FIELD_SIZE,
      .offset = offsetof(struct limits_config, buffer_memory_bytes),
      .min = MIB,
      .max = 1024 * GIB,
      .def = 64 * MIB,
      .reload = RELOAD_RESTART,
      .doc = "Memory for bytes that their receiver has not taken yet, for the whole process. Each direction of a "
             "connection "
             "has 4 KiB besides, so that none starves." },
    { .key = "buffer_per_connection",
      .type = FIELD_SIZE,
      .offset = offsetof(struct limits_config, buffer_per_connection_bytes),
      .min = 4 * KIB,
      .max = GIB,
      .def = 256 * KIB,
      .reload = RELOAD_AT_ONCE,
      .doc = "The most of that memory that one direction of one connection may hold." },
    { .key = "tls_handshakes",
      .type = FIELD_NUMBER,
      .offset = offsetof(struct limits_config, tls_handshakes),
      .min = 1,
      .max = 100000,
      .def = 512,
      .reload = RELOAD_AT_ONCE,
      .doc = "TLS handshakes of clients under way at one time. Further ones wait, as long as "
             "`intercept.inbound.tls.handshake_timeout` lets them. A handshake counts once its ClientHello is there." },
};
static const struct section limits_section = { .size = sizeof(struct limits_config), FIELDS(limits_fields) };

static const struct field drain_fields[] = {
    { .key = "delay",
      .type = FIELD_DURATION,
      .offset = offsetof(struct drain_config, delay_ms),
      .max = HOUR,
      .reload = RELOAD_AT_ONCE,
      .doc = "How long inbound connections are still accepted once draining has begun." },
    { .key = "minimum",
      .type = FIELD_DURATION,
      .offset = offsetof(struct drain_config, minimum_ms),
      .max = HOUR,
      .reload = RELOAD_AT_ONCE,
      .doc = "The process does not end earlier than this, even with no connection left." },
    { .key = "timeout",
      .type = FIELD_DURATION,
      .offset = offsetof(struct drain_config, timeout_ms),
      .max = 24 * HOUR,
      .def = 25 * SECOND,
      .reload = RELOAD_AT_ONCE,
      .doc = "Connections that are left after this long are reset." },
    { .key = "spread",
      .type = FIELD_DURATION,
      .offset = offsetof(struct drain_config, spread_ms),
      .max = 24 * HOUR,
      .reload = RELOAD_AT_ONCE,
      .doc = "Inbound connections are reset one after the other over this long, the quiet ones first, so that not all "
             "clients reconnect at the same moment. 0: they are left to their own ends, and to `timeout`." },
};
static const struct section drain_section = { .size = sizeof(struct drain_config), FIELDS(drain_fields) };

static const struct field takeover_fields[] = {
    { .key = "timeout",
      .type = FIELD_DURATION,
      .offset = offsetof(struct takeover_config, timeout_ms),
      .max = 30 * DAY,
      .def = 15 * MINUTE,
      .reload = RELOAD_AT_ONCE,
      .doc = "How long this process goes on with the connections that it has, once another has taken its listeners "
             "over." },
};
static const struct section takeover_section = { .size = sizeof(struct takeover_config), FIELDS(takeover_fields) };

#define PORT_TLS_OFFSET(member) \
    (offsetof(struct inbound_port_config, tls.member) - offsetof(struct inbound_port_config, tls))
static const struct field port_tls_fields[] = {
    { .key = "mode",
      .type = FIELD_ENUM,
      .offset = PORT_TLS_OFFSET(mode),
      .names = inbound_tls_modes,
      .def = INBOUND_TLS_INHERIT,
      .reload = RELOAD_NEW_CONNECTIONS,
      .doc = "`inherit`: that of `intercept.inbound.tls`." },
    { .key = "detect",
      .type = FIELD_DURATION,
      .offset = PORT_TLS_OFFSET(detect_ms),
      .max = MINUTE,
      .def = CONFIG_AUTO,
      .keyword = "inherit",
      .reload = RELOAD_NEW_CONNECTIONS,
      .doc = "`inherit`: that of `intercept.inbound.tls`." },
};
static const struct section port_tls_section = { FIELDS(port_tls_fields) };

static const struct field client_limits_fields[] = {
    { .key = "max_connections",
      .type = FIELD_NUMBER,
      .offset = offsetof(struct client_limits_config, max_connections),
      .max = 10000000,
      .reload = RELOAD_NEW_CONNECTIONS,
      .doc = "Clients at one time, all together; 0: no limit. Further ones are reset; those beyond "
             "`cluster.circuit_breaker.max_connections` wait." },
    { .key = "max_connections_per_source",
      .type = FIELD_NUMBER,
      .offset = offsetof(struct client_limits_config, max_connections_per_source),
      .max = 10000000,
      .reload = RELOAD_NEW_CONNECTIONS,
      .doc = "The same from one address. `limits.max_connections_per_source` holds besides." },
};
static const struct section client_limits_section = { FIELDS(client_limits_fields) };

static const struct field inbound_port_fields[] = {
    { .key = "ports",
      .type = FIELD_PORTS,
      .presence = PRESENCE_REQUIRED,
      .offset = offsetof(struct inbound_port_config, ports),
      .min = 1,
      .max = 1024,
      .reload = RELOAD_NEW_CONNECTIONS,
      .doc = "The app's ports that the entry is for." },
    { .key = "tls",
      .type = FIELD_SECTION,
      .offset = offsetof(struct inbound_port_config, tls),
      .section = &port_tls_section,
      .doc = "What their clients may speak." },
    { .key = "limits",
      .type = FIELD_SECTION,
      .offset = offsetof(struct inbound_port_config, limits),
      .section = &client_limits_section,
      .doc = "How many clients they may have." },
    { .key = "cluster",
      .type = FIELD_SECTION,
      .offset = offsetof(struct inbound_port_config, cluster),
      .section = &schema_inbound_cluster,
      .doc = "Policies for them, and with `endpoints` other targets than the port itself." },
};
static const struct section inbound_port_section = { .size = sizeof(struct inbound_port_config),
                                                     FIELDS(inbound_port_fields) };

static const struct field dns_server_fields[] = {
    { .key = "address",
      .type = FIELD_ADDRESS,
      .presence = PRESENCE_REQUIRED,
      .offset = offsetof(struct dns_server_config, address),
      .reload = RELOAD_RESTART,
      .doc = "`10.96.0.10:53`, `[::1]:5353`." },
};
static const struct section dns_server_section = { .size = sizeof(struct dns_server_config),
                                                   FIELDS(dns_server_fields) };

static const struct field dns_fields[] = {
    { .key = "servers",
      .type = FIELD_LIST,
      .offset = offsetof(struct dns_config, servers),
      .section = &dns_server_section,
      .max = 16,
      .reload = RELOAD_RESTART,
      .doc = "Name servers, asked in this order; left out: those of /etc/resolv.conf." },
    { .key = "timeout",
      .type = FIELD_DURATION,
      .offset = offsetof(struct dns_config, timeout_ms),
      .min = 10,
      .max = MINUTE,
      .def = 2 * SECOND,
      .reload = RELOAD_RESTART,
      .doc = "Longest wait for the first try; later ones wait longer." },
    { .key = "attempts",
      .type = FIELD_NUMBER,
      .offset = offsetof(struct dns_config, attempts),
      .min = 1,
      .max = 10,
      .def = 3,
      .reload = RELOAD_RESTART,
      .doc = "Tries of each server." },
};
static const struct section dns_section = { .size = sizeof(struct dns_config), FIELDS(dns_fields) };

#define OUTBOUND_OFFSET(member) \
    (offsetof(struct intercept_config, outbound.member) - offsetof(struct intercept_config, outbound))
static const struct field outbound_fields[] = {
    { .key = "port",
      .type = FIELD_NUMBER,
      .offset = OUTBOUND_OFFSET(port),
      .min = 1,
      .max = 65535,
      .def = 15001,
      .reload = RELOAD_NEW_CONNECTIONS,
      .doc = "Where outrigger-init sends the app's own connections." },
    { .key = "unmatched",
      .type = FIELD_ENUM,
      .offset = OUTBOUND_OFFSET(unmatched),
      .names = unmatched_policies,
      .def = UNMATCHED_PASSTHROUGH,
      .reload = RELOAD_NEW_CONNECTIONS,
      .doc = "Connections that no cluster matches: on to their original destination, or refused." },
    { .key = "inspect_delay",
      .type = FIELD_DURATION,
      .offset = OUTBOUND_OFFSET(inspect_delay_ms),
      .min = 1,
      .max = MINUTE,
      .def = SECOND,
      .reload = RELOAD_NEW_CONNECTIONS,
      .doc = "Longest wait for a client's TLS ClientHello, only where a match with `sni` asks for it; then it has no "
             "server name. The client is the app beside the proxy, so a second is long; servers that speak first wait "
             "for it." },
};
static const struct section outbound_section = { FIELDS(outbound_fields) };

static const struct field inbound_tls_fields[] = {
    { .key = "mode",
      .type = FIELD_ENUM,
      .offset = offsetof(struct inbound_tls_config, mode),
      .names = all_inbound_tls_modes,
      .def = INBOUND_TLS_PERMISSIVE,
      .reload = RELOAD_NEW_CONNECTIONS,
      .doc = "`strict`: only peers with the mesh's mutual TLS (docs/mesh-protocol.md). `permissive`: those, and "
             "plaintext; whoever speaks first decides which it is. `disabled`: nothing is looked at. Without "
             "`identity` permissive is disabled." },
    { .key = "detect",
      .type = FIELD_DURATION,
      .offset = offsetof(struct inbound_tls_config, detect_ms),
      .max = MINUTE,
      .def = 100,
      .reload = RELOAD_NEW_CONNECTIONS,
      .doc =
          "Permissive, and the app speaks first: how long its bytes wait for a ClientHello. 0: not at all; then only "
          "clients that are quicker than the app can use TLS. 100 ms is a round trip across a continent." },
    { .key = "handshake_timeout",
      .type = FIELD_DURATION,
      .offset = offsetof(struct inbound_tls_config, handshake_timeout_ms),
      .min = 10,
      .max = 10 * MINUTE,
      .def = 5 * SECOND,
      .reload = RELOAD_NEW_CONNECTIONS,
      .doc = "Longest wait for a client's ClientHello, and for its whole handshake after that." },
};
static const struct section inbound_tls_section = { .size = sizeof(struct inbound_tls_config),
                                                    FIELDS(inbound_tls_fields) };

#define INBOUND_OFFSET(member) \
    (offsetof(struct intercept_config, inbound.member) - offsetof(struct intercept_config, inbound))
static const struct field inbound_fields[] = {
    { .key = "port",
      .type = FIELD_NUMBER,
      .offset = INBOUND_OFFSET(port),
      .min = 1,
      .max = 65535,
      .def = 15006,
      .reload = RELOAD_NEW_CONNECTIONS,
      .doc = "Where outrigger-init sends connections to the app." },
    { .key = "mode",
      .type = FIELD_ENUM,
      .offset = INBOUND_OFFSET(mode),
      .names = inbound_modes,
      .def = INBOUND_REDIRECT,
      .reload = RELOAD_RESTART,
      .doc =
          "As `outrigger-init --mode` was told. `tproxy`: the app sees the client's own address; the proxy needs uid "
          "0, gid 1337 and NET_ADMIN for it." },
    { .key = "tproxy_mark",
      .type = FIELD_NUMBER,
      .offset = INBOUND_OFFSET(tproxy_mark),
      .min = 1,
      .max = UINT32_MAX,
      .def = 1337,
      .reload = RELOAD_RESTART,
      .doc = "The packet mark of mode tproxy, as `outrigger-init --tproxy-mark` was told." },
    { .key = "tls",
      .type = FIELD_SECTION,
      .offset = INBOUND_OFFSET(tls),
      .section = &inbound_tls_section,
      .doc = "What clients of the app may speak." },
    { .key = "ports",
      .type = FIELD_LIST,
      .offset = INBOUND_OFFSET(ports),
      .section = &inbound_port_section,
      .max = 256,
      .reload = RELOAD_NEW_CONNECTIONS,
      .doc = "Ports of the app with policies or targets of their own." },
};
static const struct section inbound_section = { FIELDS(inbound_fields) };

static const struct field intercept_fields[] = {
    { .key = "outbound",
      .type = FIELD_SECTION,
      .offset = offsetof(struct intercept_config, outbound),
      .section = &outbound_section,
      .doc = "Connections that the app makes." },
    { .key = "inbound",
      .type = FIELD_SECTION,
      .offset = offsetof(struct intercept_config, inbound),
      .section = &inbound_section,
      .doc = "Connections to the app." },
    { .key = "require",
      .type = FIELD_BOOL,
      .offset = offsetof(struct intercept_config, require),
      .reload = RELOAD_RESTART,
      .doc = "The proxy is not ready (blocker `interception`) before a connection of its own, from 127.0.0.1 to "
             "127.0.0.6:15002, has been redirected to its inbound port: so an app never starts without the rules." },
};
static const struct section intercept_section = { .size = sizeof(struct intercept_config), FIELDS(intercept_fields) };

static const struct field listener_fields[] = {
    { .key = "name",
      .type = FIELD_NAME,
      .presence = PRESENCE_REQUIRED,
      .offset = offsetof(struct listener_config, name),
      .min = 1,
      .max = 63,
      .reload = RELOAD_NEW_CONNECTIONS,
      .doc = "Unique; in status and messages." },
    { .key = "address",
      .type = FIELD_ADDRESS,
      .presence = PRESENCE_REQUIRED,
      .offset = offsetof(struct listener_config, address),
      .reload = RELOAD_NEW_CONNECTIONS,
      .doc = "`127.0.0.1:6432`, `0.0.0.0:80`, `[::]:80`." },
    { .key = "cluster",
      .type = FIELD_NAME,
      .presence = PRESENCE_REQUIRED,
      .offset = offsetof(struct listener_config, cluster),
      .min = 1,
      .max = 63,
      .reload = RELOAD_NEW_CONNECTIONS,
      .doc = "Name of the cluster that its connections go to." },
    { .key = "accept_proxy_protocol",
      .type = FIELD_BOOL,
      .offset = offsetof(struct listener_config, accept_proxy_protocol),
      .reload = RELOAD_NEW_CONNECTIONS,
      .doc = "Each connection begins with a PROXY header, version 1 or 2, which says who the client is; one without is "
             "reset. Only where nobody but a load balancer can connect: whoever can, can be anybody." },
};
static const struct section listener_section = { .size = sizeof(struct listener_config), FIELDS(listener_fields) };

static const struct field federation_fields[] = {
    { .key = "trust_domain",
      .type = FIELD_TRUST_DOMAIN,
      .presence = PRESENCE_REQUIRED,
      .offset = offsetof(struct federation_config, trust_domain),
      .min = 1,
      .max = 255,
      .reload = RELOAD_NEW_CONNECTIONS,
      .doc = "Name of the trust domain." },
    { .key = "trust_bundle",
      .type = FIELD_PATH,
      .presence = PRESENCE_REQUIRED,
      .offset = offsetof(struct federation_config, trust_bundle),
      .min = 2,
      .max = 4095,
      .reload = RELOAD_NEW_CONNECTIONS,
      .doc = "Its roots, PEM." },
};
static const struct section federation_section = { .size = sizeof(struct federation_config),
                                                   FIELDS(federation_fields) };

#define IDENTITY_PATH(name, text, words)                                                                           \
    {                                                                                                              \
        .key = #name, .type = FIELD_PATH, .offset = offsetof(struct identity_config, name), .min = 2, .max = 4095, \
        .def_text = text, .reload = RELOAD_NEW_CONNECTIONS, .doc = words                                           \
    }
static const struct field identity_fields[] = {
    IDENTITY_PATH(certificate, "/var/run/secrets/spiffe.io/tls.crt",
                  "The own X509-SVID, and what is between it and the root."),
    IDENTITY_PATH(private_key, "/var/run/secrets/spiffe.io/tls.key", "Its private key."),
    IDENTITY_PATH(trust_bundle, "/var/run/secrets/spiffe.io/ca.crt", "The roots of the own trust domain."),
    { .key = "crl",
      .type = FIELD_PATH,
      .offset = offsetof(struct identity_config, crl),
      .max = 4095,
      .reload = RELOAD_NEW_CONNECTIONS,
      .doc = "Revocation lists. With it every certificate of a peer's chain must be covered by a current list. A peer "
             "that a new list names loses its connections within 10 s." },
    { .key = "trust_domain",
      .type = FIELD_TRUST_DOMAIN,
      .offset = offsetof(struct identity_config, trust_domain),
      .min = 1,
      .max = 255,
      .def_text = "cluster.local",
      .reload = RELOAD_NEW_CONNECTIONS,
      .doc = "The own trust domain." },
    { .key = "spiffe_id",
      .type = FIELD_IDENTITY,
      .offset = offsetof(struct identity_config, spiffe_id),
      .min = 1,
      .max = 2048,
      .reload = RELOAD_NEW_CONNECTIONS,
      .doc = "The SPIFFE ID that the own certificate must have; another one is not taken. Left out: any of the trust "
             "domain." },
    { .key = "federation",
      .type = FIELD_LIST,
      .offset = offsetof(struct identity_config, federation),
      .section = &federation_section,
      .max = 64,
      .reload = RELOAD_NEW_CONNECTIONS,
      .doc = "Other trust domains whose peers are to be believed. A peer is verified with the bundle of its own trust "
             "domain and no other." },
};
static const struct section identity_section = { .size = sizeof(struct identity_config), FIELDS(identity_fields) };

static const char *const authorization_actions[] = { "allow", "deny", NULL };

static const struct field authorization_fields[] = {
    { .key = "action",
      .type = FIELD_ENUM,
      .presence = PRESENCE_REQUIRED,
      .offset = offsetof(struct authorization_rule, action),
      .names = authorization_actions,
      .reload = RELOAD_AT_ONCE,
      .doc = "What becomes of who matches." },
    { .key = "identities",
      .type = FIELD_IDENTITIES,
      .offset = offsetof(struct authorization_rule, identities),
      .min = 1,
      .max = 1024,
      .reload = RELOAD_AT_ONCE,
      .doc =
          "SPIFFE IDs, proven by mutual TLS; `*` stands for one whole segment of the path. A plaintext peer has none "
          "and matches none. Left out: everybody." },
    { .key = "ports",
      .type = FIELD_PORTS,
      .offset = offsetof(struct authorization_rule, ports),
      .min = 1,
      .max = 1024,
      .reload = RELOAD_AT_ONCE,
      .doc = "The app's ports. Left out: all." },
    { .key = "sources",
      .type = FIELD_CIDRS,
      .offset = offsetof(struct authorization_rule, sources),
      .min = 1,
      .max = 1024,
      .reload = RELOAD_AT_ONCE,
      .doc = "Where the connection comes from. Left out: everywhere." },
};
static const struct section authorization_section = { .size = sizeof(struct authorization_rule),
                                                      FIELDS(authorization_fields) };

static const struct field root_fields[] = {
    { .key = "version",
      .type = FIELD_NUMBER,
      .presence = PRESENCE_REQUIRED,
      .offset = offsetof(struct config, version),
      .min = 1,
      .max = 1,
      .reload = RELOAD_RESTART,
      .doc = "Version of the configuration's language." },
    { .key = "workers",
      .type = FIELD_NUMBER,
      .offset = offsetof(struct config, workers),
      .min = 1,
      .max = 64,
      .def = CONFIG_AUTO,
      .keyword = "auto",
      .reload = RELOAD_RESTART,
      .doc = "Threads that carry connections. `auto`: as many as the processors and the cgroup's quota allow, at most "
             "2." },
    { .key = "zone",
      .type = FIELD_NAME,
      .offset = offsetof(struct config, zone),
      .min = 1,
      .max = 63,
      .reload = RELOAD_NEW_CONNECTIONS,
      .doc = "Where the proxy runs; see `load_balancing.zone_aware`." },
    { .key = "log",
      .type = FIELD_SECTION,
      .offset = offsetof(struct config, log),
      .section = &log_section,
      .doc = "The process's own messages." },
    { .key = "access_log",
      .type = FIELD_SECTION,
      .offset = offsetof(struct config, access_log),
      .section = &schema_access_log,
      .doc = "A line for each connection at its end; see docs/access-log.md." },
    { .key = "admin",
      .type = FIELD_SECTION,
      .offset = offsetof(struct config, admin),
      .section = &admin_section,
      .doc = "Status and metrics for whoever is on this machine, or in this pod." },
    { .key = "health",
      .type = FIELD_SECTION,
      .offset = offsetof(struct config, health),
      .section = &health_section,
      .doc = "Health and metrics for kubelet and Prometheus." },
    { .key = "control",
      .type = FIELD_SECTION,
      .offset = offsetof(struct config, control),
      .section = &control_section,
      .doc = "The socket for outriggerctl." },
    { .key = "limits",
      .type = FIELD_SECTION,
      .offset = offsetof(struct config, limits),
      .section = &limits_section,
      .doc = "Limits of the whole process." },
    { .key = "drain",
      .type = FIELD_SECTION,
      .offset = offsetof(struct config, drain),
      .section = &drain_section,
      .doc = "How the proxy ends." },
    { .key = "takeover",
      .type = FIELD_SECTION,
      .offset = offsetof(struct config, takeover),
      .section = &takeover_section,
      .doc = "`outrigger --takeover`: a new process in the place of this one, on hosts." },
    { .key = "dns",
      .type = FIELD_SECTION,
      .offset = offsetof(struct config, dns),
      .section = &dns_section,
      .doc = "How names are resolved." },
    { .key = "intercept",
      .type = FIELD_SECTION,
      .presence = PRESENCE_SWITCH,
      .offset = offsetof(struct config, intercept),
      .section = &intercept_section,
      .doc = "Transparent mode, with outrigger-init's redirect rules. Left out: a plain proxy. `intercept: {}` turns "
             "it on with "
             "its defaults." },
    { .key = "identity",
      .type = FIELD_SECTION,
      .presence = PRESENCE_SWITCH,
      .offset = offsetof(struct config, identity),
      .section = &identity_section,
      .doc = "This workload's own identity, for mutual TLS. PEM files, which are watched: what is written there is in "
             "force for new connections at once; a pair that does not fit changes nothing. `identity: {}` turns it on "
             "with its defaults. Until the first files are there the proxy is not ready (blocker `certificates`)." },
    { .key = "listeners",
      .type = FIELD_LIST,
      .offset = offsetof(struct config, listeners),
      .section = &listener_section,
      .max = 256,
      .reload = RELOAD_NEW_CONNECTIONS,
      .doc = "Plain listeners, with no interception." },
    { .key = "authorization",
      .type = FIELD_LIST,
      .offset = offsetof(struct config, authorization),
      .max = 4096,
      .section = &authorization_section,
      .reload = RELOAD_AT_ONCE,
      .doc = "Who may reach the app through inbound interception. The first rule that matches decides; with any rule "
             "there, who matches none is denied, the kubelet's probes too. Without rules everybody may." },
    { .key = "probes",
      .type = FIELD_LIST,
      .offset = offsetof(struct config, probes),
      .section = &schema_probe,
      .max = PROBES_MOST,
      .reload = RELOAD_AT_ONCE,
      .doc = "What `GET /probe/NAME` of the health address asks the app, for a kubelet whose own probes would meet the "
             "proxy: a connection to a captured port is always accepted. outrigger-inject writes them." },
    { .key = "defaults",
      .type = FIELD_SECTION,
      .offset = offsetof(struct config, defaults_text),
      .section = &schema_defaults,
      .doc = "Policies that every cluster inherits, also the built-in `inbound` and `passthrough`." },
    { .key = "clusters",
      .type = FIELD_LIST,
      .offset = offsetof(struct config, clusters),
      .section = &schema_cluster,
      .max = 10000,
      .reload = RELOAD_NEW_CONNECTIONS,
      .doc = "Upstream services and how they are reached." },
};
const struct section schema_root = { .size = sizeof(struct config), FIELDS(root_fields) };

size_t field_name_count(const struct field *field)
{
    size_t count = 0;

    while (field->names && field->names[count])
        count++;
    return count;
}

void field_format_value(const struct field *field, uint64_t value, char *text, size_t size)
{
    char units[UNITS_TEXT_SIZE];

    if (field->keyword && value == CONFIG_AUTO) {
        snprintf(text, size, "%s", field->keyword);
        return;
    }
    switch (field->type) {
    case FIELD_DURATION:
        units_format_duration(value, units);
        snprintf(text, size, "%s", units);
        break;
    case FIELD_SIZE:
        units_format_size(value, units);
        snprintf(text, size, "%s", units);
        break;
    case FIELD_PERCENT:
        units_format_percent(value, units);
        snprintf(text, size, "%s", units);
        break;
    case FIELD_BOOL:
        snprintf(text, size, "%s", value ? "true" : "false");
        break;
    case FIELD_ENUM:
        snprintf(text, size, "%s", field->names[value]);
        break;
    default:
        snprintf(text, size, "%" PRIu64, value);
        break;
    }
}

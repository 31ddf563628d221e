/* The rows of a cluster; see schema.c. */
#include "proxy/config/schema_rows.h"

static const char *const discoveries[] = { "static", "dns", "original_destination", NULL };
static const char *const retry_causes[] = { "refused", "timeout", "unreachable", "reset_before_reply", "tls", NULL };
static const char *const lb_policies[] = { "least_connections", "round_robin", "random", "source_hash", NULL };
static const char *const proxy_protocols[] = { "none", "v1", "v2", NULL };
static const char *const health_check_types[] = { "tcp", "send_expect", "http", "none", NULL };
static const char *const outlier_causes[] = {
    "connect", "reset_before_request", "reset_before_reply", "first_byte_timeout", "tls", NULL
};
static const char *const upstream_tls_modes[] = { "disabled", "mutual", "auto", NULL };

static const struct field timeouts_fields[] = {
    { .key = "connect",
      .type = FIELD_DURATION,
      .offset = offsetof(struct timeouts_config, connect_ms),
      .min = 1,
      .max = 10 * MINUTE,
      .def = 3 * SECOND,
      .def_original_destination = 10 * SECOND,
      .has_def_original_destination = true,
      .reload = RELOAD_NEW_CONNECTIONS,
      .doc = "Longest wait for one upstream attempt. Short, since the next endpoint is tried then; longer with "
             "original_destination, where there is no other." },
    { .key = "first_byte",
      .type = FIELD_DURATION,
      .offset = offsetof(struct timeouts_config, first_byte_ms),
      .max = DAY,
      .reload = RELOAD_AT_ONCE,
      .doc = "Longest wait for the first byte of the upstream, from the connect on; 0 = off, since a protocol may have "
             "the client speak first, whenever it likes." },
    { .key = "idle",
      .type = FIELD_DURATION,
      .offset = offsetof(struct timeouts_config, idle_ms),
      .max = 365 * DAY,
      .def = HOUR,
      .reload = RELOAD_AT_ONCE,
      .doc = "A connection ends when no byte has passed for this long; 0 = never. An hour, as Envoy has it: long "
             "enough for pooled connections, short enough that what was forgotten goes." },
    { .key = "half_close",
      .type = FIELD_DURATION,
      .offset = offsetof(struct timeouts_config, half_close_ms),
      .max = 365 * DAY,
      .def = 10 * MINUTE,
      .reload = RELOAD_AT_ONCE,
      .doc = "The same once one side has finished sending (FIN); 0 = `idle` goes on to count. Ten minutes: a reply to "
             "a finished request may take long, an app that never closes must not hold two sockets for ever." },
    { .key = "max_duration",
      .type = FIELD_DURATION,
      .offset = offsetof(struct timeouts_config, max_duration_ms),
      .max = 365 * DAY,
      .reload = RELOAD_NEW_CONNECTIONS,
      .doc = "A connected connection ends this long after it was accepted, up to a tenth earlier (at random, so that a "
             "fleet does "
             "not "
             "reconnect at once); 0 = never, since that cuts whatever is under way." },
    { .key = "dead_peer",
      .type = FIELD_DURATION,
      .offset = offsetof(struct timeouts_config, dead_peer_ms),
      .max = DAY,
      .def = 30 * SECOND,
      .reload = RELOAD_AT_ONCE,
      .doc = "A peer that has acknowledged nothing for this long, with bytes owed to it, is given up. One that "
             "acknowledges but "
             "does not read is alive. 0 = left to the kernel (about 15 minutes). 30 s: two probes of keepalive." },
    { .key = "keepalive",
      .type = FIELD_DURATION,
      .offset = offsetof(struct timeouts_config, keepalive_ms),
      .max = 9 * HOUR,
      .def = 15 * SECOND,
      .reload = RELOAD_NEW_CONNECTIONS,
      .doc =
          "An idle peer is probed after this long (whole seconds, rounded up), so that a dead one is noticed and NAT "
          "entries stay alive; 0 = off. 15 s: below the shortest usual NAT timeouts (60 s for half-closed connections "
          "in conntrack)." },
};
static const struct section timeouts_section = { .size = sizeof(struct timeouts_config), FIELDS(timeouts_fields) };

#define BACKOFF_OFFSET(member) (offsetof(struct retry_config, backoff.member) - offsetof(struct retry_config, backoff))
static const struct field backoff_fields[] = {
    { .key = "base",
      .type = FIELD_DURATION,
      .offset = BACKOFF_OFFSET(base_ms),
      .min = 1,
      .max = MINUTE,
      .def = 25,
      .reload = RELOAD_NEW_CONNECTIONS,
      .doc = "Upper end of the first pause; it doubles with each. 25 ms is about a restart's gap of a listener, and "
             "nothing beside a person's patience." },
    { .key = "max",
      .type = FIELD_DURATION,
      .offset = BACKOFF_OFFSET(max_ms),
      .min = 1,
      .max = 10 * MINUTE,
      .def = 250,
      .reload = RELOAD_NEW_CONNECTIONS,
      .doc = "Upper end of every pause. Short, since the client waits." },
};
static const struct section backoff_section = { FIELDS(backoff_fields) };

#define BUDGET_OFFSET(member) (offsetof(struct retry_config, budget.member) - offsetof(struct retry_config, budget))
static const struct field budget_fields[] = {
    { .key = "percent",
      .type = FIELD_PERCENT,
      .offset = BUDGET_OFFSET(percent),
      .max = 10000,
      .def = 2000,
      .reload = RELOAD_AT_ONCE,
      .doc = "Retries that connections earn: at 20%, one for five connections. 20% keeps a cluster that fails as a "
             "whole at 1.2 times its load (docs/fault-tolerance.md)." },
    { .key = "min_per_second",
      .type = FIELD_NUMBER,
      .offset = BUDGET_OFFSET(min_per_second),
      .max = 10000,
      .def = 3,
      .reload = RELOAD_AT_ONCE,
      .doc = "Retries that come with time, for clusters with few connections. 3: a cluster with a connection now and "
             "then is retried as well." },
    { .key = "burst",
      .type = FIELD_NUMBER,
      .offset = BUDGET_OFFSET(burst),
      .max = 1000000,
      .def = 100,
      .reload = RELOAD_AT_ONCE,
      .doc = "What is in the budget at first, and may be saved: as many connections can be retried at once when an "
             "endpoint goes. 100: the connections at one endpoint that dies." },
    { .key = "window",
      .type = FIELD_DURATION,
      .offset = BUDGET_OFFSET(window_ms),
      .max = 10 * MINUTE,
      .reload = RELOAD_AT_ONCE,
      .doc = "What was earned in this time may be saved beyond `burst`, and lapses after it, at the latest after twice "
             "that; 0 = nothing is. Off, since what a quiet time saved would feed a storm: without it, over any time, "
             "attempts stay below the connections, their percentage, min_per_second and burst (docs/decisions/0010)." },
};
static const struct section budget_section = { FIELDS(budget_fields) };

static const struct field retry_fields[] = {
    { .key = "attempts",
      .type = FIELD_NUMBER,
      .offset = offsetof(struct retry_config, attempts),
      .min = 1,
      .max = 100,
      .def = 3,
      .reload = RELOAD_NEW_CONNECTIONS,
      .doc = "Tries in all, other endpoints first; 1 = no retry. Three: with one endpoint of three gone, two tries "
             "nearly always suffice; more would multiply through tiers." },
    { .key = "on",
      .type = FIELD_FLAGS,
      .offset = offsetof(struct retry_config, on),
      .names = retry_causes,
      .def = RETRY_ON_REFUSED | RETRY_ON_TIMEOUT | RETRY_ON_UNREACHABLE | RETRY_ON_RESET_BEFORE_REPLY | RETRY_ON_TLS,
      .reload = RELOAD_NEW_CONNECTIONS,
      .doc = "What is worth another try; `timeout` is that of `timeouts.first_byte`, too. `reset_before_reply` without "
             "`replay` covers only resets before any client "
             "byte was sent. All: each of them leaves the request unsent, or kept whole." },
    { .key = "backoff",
      .type = FIELD_SECTION,
      .offset = offsetof(struct retry_config, backoff),
      .section = &backoff_section,
      .doc = "Pauses between tries, once every endpoint was tried: random between nothing and the upper end." },
    { .key = "budget",
      .type = FIELD_SECTION,
      .offset = offsetof(struct retry_config, budget),
      .section = &budget_section,
      .doc = "How many retries the cluster may make, all connections together: when everything fails, retries must not "
             "multiply the load." },
    { .key = "hedge_after",
      .type = FIELD_DURATION,
      .offset = offsetof(struct retry_config, hedge_after_ms),
      .max = MINUTE,
      .reload = RELOAD_NEW_CONNECTIONS,
      .doc =
          "An attempt that has not connected for this long gets another beside it, at another endpoint; the first to "
          "connect has the connection. It counts as a retry (attempts, budget, max_retries). Shorter than "
          "`timeouts.connect`, and longer than a connect usually takes; 0 = off. Nothing of it with "
          "original_destination." },
    { .key = "replay",
      .type = FIELD_SIZE,
      .offset = offsetof(struct retry_config, replay_bytes),
      .max = MIB,
      .reload = RELOAD_NEW_CONNECTIONS,
      .doc = "Bytes of the client that are kept until the first byte of the reply, and sent again on a retry. Only for "
             "servers "
             "where a request may arrive twice; 0 = off." },
};
static const struct section retry_section = { .size = sizeof(struct retry_config), FIELDS(retry_fields) };

static const struct field circuit_breaker_fields[] = {
    { .key = "max_connections",
      .type = FIELD_NUMBER,
      .offset = offsetof(struct circuit_breaker_config, max_connections),
      .max = 10000000,
      .def = 1024,
      .def_original_destination = CONFIG_UNLIMITED,
      .has_def_original_destination = true,
      .reload = RELOAD_AT_ONCE,
      .doc = "Connections of this cluster at one time, over all workers; 0 = no limit, which is the default of inbound "
             "clusters too: what is refused there was accepted already. 1024, as Envoy has it: far more than an app "
             "opens in good order, few enough to stop a runaway one." },
    { .key = "max_pending",
      .type = FIELD_NUMBER,
      .offset = offsetof(struct circuit_breaker_config, max_pending),
      .max = 1000000,
      .def = 1024,
      .reload = RELOAD_AT_ONCE,
      .doc = "Further connections that wait for one of those to end, first come, first served; 0 = no limit. What "
             "comes after them is reset at once. As many again: a wait is cheap." },
    { .key = "pending_timeout",
      .type = FIELD_DURATION,
      .offset = offsetof(struct circuit_breaker_config, pending_timeout_ms),
      .max = 10 * MINUTE,
      .def = SECOND,
      .reload = RELOAD_NEW_CONNECTIONS,
      .doc = "How long they wait; 0 = nothing waits. 1 s: who waits longer is better told." },
    { .key = "max_retries",
      .type = FIELD_NUMBER,
      .offset = offsetof(struct circuit_breaker_config, max_retries),
      .max = 1000000,
      .reload = RELOAD_AT_ONCE,
      .doc = "Connections that are being retried at one time; 0 = no limit but the budget. Off, since the budget "
             "scales with the load and a fixed number does not." },
};
static const struct section circuit_breaker_section = { .size = sizeof(struct circuit_breaker_config),
                                                        FIELDS(circuit_breaker_fields) };

static const struct field outlier_fields[] = {
    { .key = "consecutive_failures",
      .type = FIELD_NUMBER,
      .offset = offsetof(struct outlier_config, consecutive_failures),
      .max = 1000,
      .def = 5,
      .reload = RELOAD_AT_ONCE,
      .doc = "An endpoint is ejected after this many failures in a row; 0 = never. Five, as Envoy has it: in a row, so "
             "that a fraction of failures, which retries bridge, ejects nothing." },
    { .key = "on",
      .type = FIELD_FLAGS,
      .offset = offsetof(struct outlier_config, on),
      .names = outlier_causes,
      .def = OUTLIER_ON_CONNECT | OUTLIER_ON_RESET_BEFORE_REQUEST | OUTLIER_ON_TLS,
      .reload = RELOAD_AT_ONCE,
      .doc = "What is a failure: no connection; a TLS handshake that failed; a reset before any byte of the client was "
             "sent; a reset before the "
             "reply; `timeouts.first_byte` after a byte of the client was sent. The last two are left out by default, "
             "since a "
             "hostile client's bytes could provoke them and eject a good endpoint." },
    { .key = "base_ejection",
      .type = FIELD_DURATION,
      .offset = offsetof(struct outlier_config, base_ejection_ms),
      .min = 1,
      .max = DAY,
      .def = 10 * SECOND,
      .reload = RELOAD_AT_ONCE,
      .doc =
          "The first ejection's time; each further one's is twice as long, with up to a tenth more at random. Then one "
          "connection tries the endpoint, and either it is back or it is ejected again. 10 s: a restart takes about "
          "that." },
    { .key = "max_ejection",
      .type = FIELD_DURATION,
      .offset = offsetof(struct outlier_config, max_ejection_ms),
      .min = 1,
      .max = 30 * DAY,
      .def = 5 * MINUTE,
      .reload = RELOAD_AT_ONCE,
      .doc = "The longest. Five minutes: one trial connection in that time costs nothing." },
    { .key = "max_ejected",
      .type = FIELD_PERCENT,
      .offset = offsetof(struct outlier_config, max_ejected),
      .max = 10000,
      .def = 5000,
      .reload = RELOAD_AT_ONCE,
      .doc = "Of the endpoints, at most these are ejected at one time; what fails beyond them is still used. Half: "
             "when more fail at once the cause is elsewhere, and the rest could not carry the load." },
    { .key = "panic_threshold",
      .type = FIELD_PERCENT,
      .offset = offsetof(struct outlier_config, panic_threshold),
      .max = 10000,
      .def = 5000,
      .reload = RELOAD_AT_ONCE,
      .doc = "Where fewer endpoints of a priority than this are healthy, the next priority is used, or, if there is "
             "none, "
             "all of them: the few would not carry everything. Half, as Envoy has it, and for the same reason as "
             "max_ejected." },
};
static const struct section outlier_section = { .size = sizeof(struct outlier_config), FIELDS(outlier_fields) };

static const struct field health_check_fields[] = {
    { .key = "type",
      .type = FIELD_ENUM,
      .offset = offsetof(struct health_check_config, type),
      .names = health_check_types,
      .def = HEALTH_CHECK_TCP,
      .reload = RELOAD_AT_ONCE,
      .doc =
          "`tcp`: it accepts; `send_expect`: it answers `send` with `expect`; `http`: GET `path` has a status from 200 "
          "to 399; "
          "`none`: off." },
    { .key = "interval",
      .type = FIELD_DURATION,
      .offset = offsetof(struct health_check_config, interval_ms),
      .min = 10,
      .max = DAY,
      .def = 5 * SECOND,
      .reload = RELOAD_AT_ONCE,
      .doc =
          "From the end of one check to the next, up to a tenth more or less at random; a quarter of it while outcomes "
          "contradict what the endpoint counts as. 5 s: with fall 3 an endpoint is out within about 10 s, and a "
          "fleet's checks stay few." },
    { .key = "timeout",
      .type = FIELD_DURATION,
      .offset = offsetof(struct health_check_config, timeout_ms),
      .min = 1,
      .max = HOUR,
      .def = SECOND,
      .reload = RELOAD_AT_ONCE,
      .doc = "For one check, whole. 1 s: an endpoint that needs longer to accept serves nobody well." },
    { .key = "rise",
      .type = FIELD_NUMBER,
      .offset = offsetof(struct health_check_config, rise),
      .min = 1,
      .max = 100,
      .def = 2,
      .reload = RELOAD_AT_ONCE,
      .doc = "Successes in a row that bring an endpoint back. Two, so that one lucky answer brings nothing back." },
    { .key = "fall",
      .type = FIELD_NUMBER,
      .offset = offsetof(struct health_check_config, fall),
      .min = 1,
      .max = 100,
      .def = 3,
      .reload = RELOAD_AT_ONCE,
      .doc = "Failures in a row that make it unhealthy; the very first check alone decides, too. Three, so that one "
             "lost packet takes nothing out." },
    { .key = "port",
      .type = FIELD_NUMBER,
      .offset = offsetof(struct health_check_config, port),
      .max = 65535,
      .reload = RELOAD_AT_ONCE,
      .doc = "Another port of the endpoint to check; 0 = its own." },
    { .key = "send",
      .type = FIELD_TEXT,
      .offset = offsetof(struct health_check_config, send),
      .min = 1,
      .max = 1024,
      .reload = RELOAD_AT_ONCE,
      .doc =
          "What `send_expect` sends, in double quotes with `\\r\\n` and the like; left out: nothing, for servers that "
          "speak first." },
    { .key = "expect",
      .type = FIELD_TEXT,
      .offset = offsetof(struct health_check_config, expect),
      .min = 1,
      .max = 1024,
      .reload = RELOAD_AT_ONCE,
      .doc = "What is to be in the first 4 KiB of the answer; left out: nothing is waited for." },
    { .key = "path",
      .type = FIELD_TEXT,
      .offset = offsetof(struct health_check_config, path),
      .min = 1,
      .max = 1024,
      .def_text = "/",
      .reload = RELOAD_AT_ONCE,
      .doc = "Of the HTTP request." },
    { .key = "host",
      .type = FIELD_TEXT,
      .offset = offsetof(struct health_check_config, host),
      .min = 1,
      .max = 255,
      .def_text = "localhost",
      .reload = RELOAD_AT_ONCE,
      .doc = "Its Host header." },
};
const struct section schema_health_check = { .size = sizeof(struct health_check_config), FIELDS(health_check_fields) };

static const struct field load_balancing_fields[] = {
    { .key = "policy",
      .type = FIELD_ENUM,
      .offset = offsetof(struct load_balancing_config, policy),
      .names = lb_policies,
      .def = LB_LEAST_CONNECTIONS,
      .reload = RELOAD_NEW_CONNECTIONS,
      .doc =
          "`least_connections`: of two at random, the one with fewer connections for its weight; `round_robin`: in "
          "turn, by "
          "weight; `random`: by weight; `source_hash`: a client's address always goes to the same endpoint, and only "
          "the share "
          "of one that is gone moves." },
    { .key = "zone_aware",
      .type = FIELD_BOOL,
      .offset = offsetof(struct load_balancing_config, zone_aware),
      .reload = RELOAD_NEW_CONNECTIONS,
      .doc = "Endpoints of the proxy's own `zone` first, others of the same priority when none of those is left. Off, "
             "since zones of different sizes would be loaded unevenly." },
    { .key = "slow_start",
      .type = FIELD_DURATION,
      .offset = offsetof(struct load_balancing_config, slow_start_ms),
      .max = HOUR,
      .reload = RELOAD_NEW_CONNECTIONS,
      .doc = "An endpoint that was added later gets its share little by little over this time, from a tenth on; 0 = at "
             "once. Off: it is for servers that start cold, and makes the rest carry more meanwhile." },
};
static const struct section load_balancing_section = { .size = sizeof(struct load_balancing_config),
                                                       FIELDS(load_balancing_fields) };

#define FAULT_OFFSET(fault, member) \
    (offsetof(struct faults_config, fault.member) - offsetof(struct faults_config, fault))
#define FAULT_PERCENT_FIELD(fault)                                                                     \
    {                                                                                                  \
        .key = "percent", .type = FIELD_PERCENT, .offset = FAULT_OFFSET(fault, percent), .max = 10000, \
        .reload = RELOAD_AT_ONCE, .doc = "How many of the cluster's connections."                      \
    }

static const struct field fault_delay_fields[] = {
    FAULT_PERCENT_FIELD(delay),
    { .key = "time",
      .type = FIELD_DURATION,
      .offset = FAULT_OFFSET(delay, time_ms),
      .max = HOUR,
      .reload = RELOAD_NEW_CONNECTIONS,
      .doc = "How long a connection waits before its first attempt." },
};
static const struct section fault_delay_section = { FIELDS(fault_delay_fields) };

static const struct field fault_refuse_fields[] = { FAULT_PERCENT_FIELD(refuse) };
static const struct section fault_refuse_section = { FIELDS(fault_refuse_fields) };

static const struct field fault_reset_fields[] = {
    FAULT_PERCENT_FIELD(reset),
    { .key = "after",
      .type = FIELD_SIZE,
      .offset = FAULT_OFFSET(reset, after_bytes),
      .max = 1024 * GIB,
      .reload = RELOAD_NEW_CONNECTIONS,
      .doc = "After so many bytes, of both directions together; 0: as soon as it is connected." },
};
static const struct section fault_reset_section = { FIELDS(fault_reset_fields) };

static const struct field faults_fields[] = {
    { .key = "delay",
      .type = FIELD_SECTION,
      .offset = offsetof(struct faults_config, delay),
      .section = &fault_delay_section,
      .doc = "Connections that wait." },
    { .key = "refuse",
      .type = FIELD_SECTION,
      .offset = offsetof(struct faults_config, refuse),
      .section = &fault_refuse_section,
      .doc = "Connections that are reset at once: `fault_refuse`." },
    { .key = "reset",
      .type = FIELD_SECTION,
      .offset = offsetof(struct faults_config, reset),
      .section = &fault_reset_section,
      .doc = "Connections that are reset later: `fault_reset`." },
    { .key = "bandwidth",
      .type = FIELD_SIZE,
      .offset = offsetof(struct faults_config, bandwidth),
      .max = GIB,
      .reload = RELOAD_NEW_CONNECTIONS,
      .doc = "Bytes a second of each connection in each direction; 0 = no limit." },
};
const struct section schema_faults = { .size = sizeof(struct faults_config), FIELDS(faults_fields) };

static const struct field upstream_tls_fields[] = {
    { .key = "mode",
      .type = FIELD_ENUM,
      .offset = offsetof(struct upstream_tls_config, mode),
      .names = upstream_tls_modes,
      .reload = RELOAD_NEW_CONNECTIONS,
      .doc = "`disabled`: plain TCP. `mutual`: the mesh's TLS (docs/mesh-protocol.md), or no connection. `auto`: the "
             "mesh's TLS where the endpoint can, plain TCP where it never could (asked again after five minutes, or "
             "ten seconds "
             "where it had only broken off); whoever is on the way can make it "
             "plain, and a server that speaks first and waits gets a ClientHello that it does not understand. Not with "
             "original_destination." },
    { .key = "peer_identities",
      .type = FIELD_IDENTITIES,
      .offset = offsetof(struct upstream_tls_config, peer_identities),
      .min = 1,
      .max = 1024,
      .reload = RELOAD_NEW_CONNECTIONS,
      .doc = "SPIFFE IDs that an endpoint may have; `*` stands for one whole segment of the path. Left out: any of "
             "`identity.trust_domain`." },
    { .key = "allow_plaintext",
      .type = FIELD_BOOL,
      .offset = offsetof(struct upstream_tls_config, allow_plaintext),
      .reload = RELOAD_NEW_CONNECTIONS,
      .doc = "Connections to `match.hosts` may pass as they are while their name is not resolved, with "
             "`intercept.outbound.unmatched: passthrough`." },
};
static const struct section upstream_tls_section = { .size = sizeof(struct upstream_tls_config),
                                                     FIELDS(upstream_tls_fields) };

static const struct field match_fields[] = {
    { .key = "addresses",
      .type = FIELD_CIDRS,
      .offset = offsetof(struct match_config, addresses),
      .min = 1,
      .max = 1024,
      .reload = RELOAD_NEW_CONNECTIONS,
      .doc = "Original destinations: addresses or blocks. With `sni` alone: every address." },
    { .key = "hosts",
      .type = FIELD_HOSTS,
      .offset = offsetof(struct match_config, hosts),
      .min = 1,
      .max = 1024,
      .reload = RELOAD_NEW_CONNECTIONS,
      .doc = "The same as names: all their addresses, resolved by the proxy and kept fresh; an address that a name no "
             "longer has goes on matching for 10 minutes, since the app may have kept it." },
    { .key = "sni",
      .type = FIELD_SERVER_NAMES,
      .offset = offsetof(struct match_config, sni),
      .min = 1,
      .max = 1024,
      .reload = RELOAD_NEW_CONNECTIONS,
      .doc = "Server names of TLS, exact or `*.api.example` (one label or more in place of the star). Needs `ports`: "
             "only there are a client's first bytes looked at, for at most `intercept.outbound.inspect_delay`." },
    { .key = "ports",
      .type = FIELD_PORTS,
      .offset = offsetof(struct match_config, ports),
      .min = 1,
      .max = 1024,
      .reload = RELOAD_NEW_CONNECTIONS,
      .doc = "Ports or ranges; left out: every port." },
};
static const struct section match_section = { .size = sizeof(struct match_config), FIELDS(match_fields) };

static const struct field endpoint_fields[] = {
    { .key = "address",
      .type = FIELD_ENDPOINT,
      .presence = PRESENCE_REQUIRED,
      .offset = offsetof(struct endpoint_config, at),
      .reload = RELOAD_AT_ONCE,
      .doc =
          "`10.0.0.1:80`, `[::1]:80`, `unix:/path`, or with `discovery: dns` a name, `pg.db:5432`, that stands for all "
          "its addresses." },
    { .key = "weight",
      .type = FIELD_NUMBER,
      .offset = offsetof(struct endpoint_config, weight),
      .min = 1,
      .max = 1000,
      .def = 1,
      .reload = RELOAD_AT_ONCE,
      .doc = "Its share beside the others'." },
    { .key = "priority",
      .type = FIELD_NUMBER,
      .offset = offsetof(struct endpoint_config, priority),
      .max = 15,
      .reload = RELOAD_AT_ONCE,
      .doc = "Higher numbers are used only where too few of the lower are healthy (`panic_threshold`), or all of those "
             "were "
             "tried." },
    { .key = "zone",
      .type = FIELD_NAME,
      .offset = offsetof(struct endpoint_config, zone),
      .min = 1,
      .max = 63,
      .reload = RELOAD_AT_ONCE,
      .doc = "Where it is; see `load_balancing.zone_aware`." },
};
static const struct section endpoint_section = { .size = sizeof(struct endpoint_config), FIELDS(endpoint_fields) };

/* The policies of a cluster: what `defaults` may set and every cluster inherits. */
#define CLUSTER_POLICY_FIELDS                                                                                         \
    { .key = "timeouts",                                                                                              \
      .type = FIELD_SECTION,                                                                                          \
      .offset = offsetof(struct cluster_config, timeouts),                                                            \
      .section = &timeouts_section,                                                                                   \
      .doc = "How long what may take." },                                                                             \
        { .key = "retry",                                                                                             \
          .type = FIELD_SECTION,                                                                                      \
          .offset = offsetof(struct cluster_config, retry),                                                           \
          .section = &retry_section,                                                                                  \
          .doc = "Further tries when a connection cannot be made." },                                                 \
        { .key = "load_balancing",                                                                                    \
          .type = FIELD_SECTION,                                                                                      \
          .offset = offsetof(struct cluster_config, load_balancing),                                                  \
          .section = &load_balancing_section,                                                                         \
          .doc = "Which endpoint gets the next connection." },                                                        \
        { .key = "health_check",                                                                                      \
          .type = FIELD_SECTION,                                                                                      \
          .presence = PRESENCE_SWITCH,                                                                                \
          .offset = offsetof(struct cluster_config, health_check),                                                    \
          .section = &schema_health_check,                                                                            \
          .doc = "Endpoints are asked whether they are there, by the proxy itself. Left out: they are not, since "    \
                 "outlier_detection notices what fails; `health_check: {}` turns it on. Nothing of it with "          \
                 "original_destination." },                                                                           \
        { .key = "close_on_removal",                                                                                  \
          .type = FIELD_BOOL,                                                                                         \
          .offset = offsetof(struct cluster_config, close_on_removal),                                                \
          .reload = RELOAD_AT_ONCE,                                                                                   \
          .doc = "Connections to an endpoint that discovery no longer finds are reset; by default they may go on." }, \
        { .key = "close_on_unhealthy",                                                                                \
          .type = FIELD_BOOL,                                                                                         \
          .offset = offsetof(struct cluster_config, close_on_unhealthy),                                              \
          .reload = RELOAD_AT_ONCE,                                                                                   \
          .doc = "Connections to an endpoint that a health check finds unhealthy are reset; by default they may go "  \
                 "on." },                                                                                             \
        { .key = "proxy_protocol",                                                                                    \
          .type = FIELD_ENUM,                                                                                         \
          .offset = offsetof(struct cluster_config, proxy_protocol),                                                  \
          .names = proxy_protocols,                                                                                   \
          .reload = RELOAD_NEW_CONNECTIONS,                                                                           \
          .doc = "Endpoints are told the client's address and its original destination by a PROXY header, before "    \
                 "anything else. Health checks say LOCAL, or UNKNOWN." },                                             \
        { .key = "proxy_protocol_identity",                                                                           \
          .type = FIELD_BOOL,                                                                                         \
          .offset = offsetof(struct cluster_config, proxy_protocol_identity),                                         \
          .reload = RELOAD_NEW_CONNECTIONS,                                                                           \
          .doc = "With `proxy_protocol: v2`: the header also carries the SPIFFE ID that the client has proven by "    \
                 "mutual TLS, as an addition (TLV) of type 0xE0. Without one, the client is plaintext." },            \
        { .key = "tls",                                                                                               \
          .type = FIELD_SECTION,                                                                                      \
          .offset = offsetof(struct cluster_config, tls),                                                             \
          .section = &upstream_tls_section,                                                                           \
          .doc = "Mutual TLS to the sidecars of the endpoints. Needs `identity`." },                                  \
        { .key = "required",                                                                                          \
          .type = FIELD_BOOL,                                                                                         \
          .offset = offsetof(struct cluster_config, required),                                                        \
          .reload = RELOAD_AT_ONCE,                                                                                   \
          .doc = "The proxy is not ready (blocker `endpoints`) before the cluster's names were answered and its "     \
                 "endpoints had their first health check, whatever came of it. A name server that does not answer "   \
                 "is waited for." },                                                                                  \
        { .key = "faults",                                                                                            \
          .type = FIELD_SECTION,                                                                                      \
          .offset = offsetof(struct cluster_config, faults),                                                          \
          .section = &schema_faults,                                                                                  \
          .doc = "Faults that are injected on purpose, to see how clients bear them. They hit the client; no "        \
                 "endpoint is blamed. `outriggerctl fault` sets them while the proxy runs." },                        \
        { .key = "outlier_detection",                                                                                 \
          .type = FIELD_SECTION,                                                                                      \
          .offset = offsetof(struct cluster_config, outlier_detection),                                               \
          .section = &outlier_section,                                                                                \
          .doc = "Endpoints that fail are left out for a while. Nothing of it with original_destination." },          \
    {                                                                                                                 \
        .key = "circuit_breaker", .type = FIELD_SECTION, .offset = offsetof(struct cluster_config, circuit_breaker),  \
        .section = &circuit_breaker_section,                                                                          \
        .doc = "Local limits. Going beyond them never counts against an "                                             \
               "endpoint."                                                                                            \
    }

static const struct field defaults_fields[] = { CLUSTER_POLICY_FIELDS };
const struct section schema_defaults = { .size = sizeof(struct cluster_config), FIELDS(defaults_fields) };

#define CLUSTER_ENDPOINTS_FIELD                                                                       \
    {                                                                                                 \
        .key = "endpoints", .type = FIELD_LIST, .offset = offsetof(struct cluster_config, endpoints), \
        .section = &endpoint_section, .max = 1024, .reload = RELOAD_NEW_CONNECTIONS,                  \
        .doc = "Where connections may go."                                                            \
    }

static const struct field cluster_fields[] = {
    { .key = "name",
      .type = FIELD_NAME,
      .presence = PRESENCE_REQUIRED,
      .offset = offsetof(struct cluster_config, name),
      .min = 1,
      .max = 63,
      .reload = RELOAD_NEW_CONNECTIONS,
      .doc = "Unique; in status and metrics." },
    { .key = "match",
      .type = FIELD_LIST,
      .offset = offsetof(struct cluster_config, match),
      .section = &match_section,
      .max = 1024,
      .reload = RELOAD_NEW_CONNECTIONS,
      .doc = "Captured outbound connections that belong to this cluster: longest prefix first, then the narrowest port "
             "range." },
    { .key = "discovery",
      .type = FIELD_ENUM,
      .offset = offsetof(struct cluster_config, discovery),
      .names = discoveries,
      .def = DISCOVERY_STATIC,
      .reload = RELOAD_NEW_CONNECTIONS,
      .doc = "Where the endpoints come from: `static`, the list below; `dns`, the same with names, which are asked for "
             "again "
             "when their TTL is over; `original_destination`, the address that the client dialled." },
    CLUSTER_ENDPOINTS_FIELD,
    CLUSTER_POLICY_FIELDS,
};
const struct section schema_cluster = { .size = sizeof(struct cluster_config),
                                        FIELDS(cluster_fields),
                                        .is_cluster = true };

static const struct field inbound_cluster_fields[] = {
    { .key = "discovery",
      .type = FIELD_ENUM,
      .offset = offsetof(struct cluster_config, discovery),
      .names = discoveries,
      .def = DISCOVERY_ORIGINAL_DESTINATION,
      .reload = RELOAD_NEW_CONNECTIONS,
      .doc = "`original_destination`, the app's port itself; `static`, which `endpoints` implies; or `dns`." },
    CLUSTER_ENDPOINTS_FIELD,
    CLUSTER_POLICY_FIELDS,
};
const struct section schema_inbound_cluster = { .size = sizeof(struct cluster_config),
                                                FIELDS(inbound_cluster_fields),
                                                .is_cluster = true,
                                                .is_inbound = true,
                                                .default_discovery = DISCOVERY_ORIGINAL_DESTINATION };

"""The proxies, each set up for endpoints that fail: three tries, the same connect timeout, and least connections unless told."""

import os
import socket

import yaml

from bench.faults.world import ADDRESSES, PORT
from bench.origin import BODY
from bench.peers import direct, envoy, haproxy, nginx, outrigger
from tests.support.servers import free_port

CONNECT_S, TRIES, EJECTION_S = 1, 3, 10
IDLE_S = 3600
ENDPOINTS = [f"{address}:{PORT}" for address in ADDRESSES]
QUESTION = "GET / HTTP/1.1\r\nHost: check\r\nConnection: close\r\n\r\n"


class Balanced:
    """What all have in common here: a port of their own, and one request to know that they work."""

    checks = False  # whether it asks the endpoints itself, with a whole request, every second
    is_reference = False  # only where there is no fault

    def target(self):
        return "127.0.0.1", self.port

    def answers(self):
        try:
            with socket.create_connection(self.target(), timeout=2) as connection:
                if self.bench.speaker == "ask":
                    connection.sendall(QUESTION.encode())
                reply = b""
                while data := connection.recv(4096):
                    reply += data
                return reply.endswith(BODY.encode())
        except OSError:
            return False

    def in_turn(self):
        return self.bench.policy == "round-robin"


class Direct(Balanced, direct.Direct):
    """No proxy: what load and machine can do by themselves."""

    note = "no proxy"
    is_reference = True

    def target(self):
        return ADDRESSES[2], PORT


class Outrigger(Balanced, outrigger.Outrigger):
    note = "its defaults, but for the connect timeout"

    def cluster(self):
        return {
            "name": "origin",
            "endpoints": [{"address": endpoint} for endpoint in ENDPOINTS],
            "timeouts": {"connect": f"{CONNECT_S}s"},
            **({"load_balancing": {"policy": "round_robin"}} if self.in_turn() else {}),
        }

    def config(self):
        return {
            "version": 1,
            "workers": 1,
            "health": {"port": free_port()}, "admin": {"port": 0},
            "control": {"path": os.path.join(self.directory, "control.sock")},
            "listeners": [{"name": "bench", "address": f"127.0.0.1:{self.port}", "cluster": "origin"}],
            "clusters": [self.cluster()],
        }


class OutriggerChecks(Outrigger):
    name = "outrigger-checks"
    note = "the same with health checks"
    checks = True

    def cluster(self):
        speaks = {"send": QUESTION} if self.bench.speaker == "ask" else {}
        check = {"type": "send_expect", "interval": "1s", "timeout": "1s", "fall": 2, "rise": 2, "expect": "pony", **speaks}
        return {**super().cluster(), "health_check": check}


class OutriggerResets(Outrigger):
    name = "outrigger-resets"
    note = "outlier_detection.on with reset_before_reply"

    def cluster(self):
        return {**super().cluster(), "outlier_detection": {"on": ["connect", "reset_before_request", "reset_before_reply"]}}


class OutriggerReplay(Outrigger):
    name = "outrigger-replay"
    note = "replay 16KiB, first_byte 1s, all outcomes count"

    def cluster(self):
        cluster = super().cluster()
        cluster["timeouts"]["first_byte"] = "1s"
        every = ["connect", "reset_before_request", "reset_before_reply", "first_byte_timeout"]
        return {**cluster, "retry": {"replay": "16KiB"}, "outlier_detection": {"on": every}}


class OutriggerHedge(Outrigger):
    name = "outrigger-hedge"
    note = "retry.hedge_after 250ms"

    def cluster(self):
        return {**super().cluster(), "retry": {"hedge_after": "250ms"}}


# observe needs checks. fastinter: while one is on its way down or up. A retry goes to another server at once
# (redispatch 1), without the pause of a second that there is before the same one.
HAPROXY = """global
    nbthread 1
    maxconn 9500
defaults
    mode tcp
    maxconn 9500
    backlog 4096
    timeout connect {connect}s
    timeout check 1s
    timeout client {idle}s
    timeout server {idle}s
    option tcp-smart-accept
    option tcp-smart-connect
    retries {retries}
    option redispatch 1
frontend bench
    bind 127.0.0.1:{port}
    default_backend origin
backend origin
    balance {balance}
    option tcp-check
    tcp-check connect
{send}
    tcp-check expect string pony
    default-server check inter 1s fastinter 250ms downinter 500ms fall 2 rise 2 observe layer4 error-limit 5 on-error mark-down
{servers}
"""


class HAProxy(Balanced, haproxy.HAProxy):
    note = "retries 2, redispatch 1, tcp-check with a request every second, observe layer4"
    checks = True

    def argv(self):
        words = QUESTION.replace(" ", "\\ ").replace("\r", "\\r").replace("\n", "\\n")
        text = HAPROXY.format(connect=CONNECT_S, idle=IDLE_S, retries=TRIES - 1, port=self.port,
                              balance="roundrobin" if self.in_turn() else "leastconn",
                              send=f"    tcp-check send {words}" if self.bench.speaker == "ask" else "",
                              servers="\n".join(f"    server s{number} {endpoint}" for number, endpoint in enumerate(ENDPOINTS)))
        return [haproxy.PROGRAM, "-db", "-f", self.write("haproxy.cfg", text)]


NGINX = """load_module {module};
daemon off;
worker_processes 1;
worker_rlimit_nofile 20000;
pid {directory}/nginx.pid;
error_log {directory}/error.log crit;
events {{ use epoll; worker_connections 19500; multi_accept on; }}
stream {{
    access_log off;
    tcp_nodelay on;
    proxy_connect_timeout {connect}s;
    proxy_timeout {idle}s;
    proxy_half_close on;
    proxy_next_upstream on;
    proxy_next_upstream_tries {tries};
    upstream origin {{
        zone origin 64k;
{balance}
{servers}
    }}
    server {{ listen 127.0.0.1:{port} backlog=4096; proxy_pass origin; }}
}}
"""


class Nginx(Balanced, nginx.Nginx):
    note = "proxy_next_upstream_tries 3, max_fails 1, fail_timeout 10s (its defaults)"
    fail_timeout_s = 10

    def argv(self):
        servers = "\n".join(f"        server {endpoint} max_fails=1 fail_timeout={self.fail_timeout_s}s;" for endpoint in ENDPOINTS)
        text = NGINX.format(module=nginx.MODULE, directory=self.directory, connect=CONNECT_S, idle=IDLE_S, tries=TRIES,
                            balance="" if self.in_turn() else "        least_conn;", servers=servers, port=self.port)
        return [nginx.PROGRAM, "-e", f"{self.directory}/error.log", "-c", self.write("nginx.conf", text)]


class NginxShort(Nginx):
    name = "nginx-short"
    note = "the same with fail_timeout 1s"
    fail_timeout_s = 1


# Of all endpoints: the two that lb_policy LEAST_REQUEST draws may be one and the same, which is then not compared with any.
LEAST_OF_ALL = {"load_balancing_policy": {"policies": [{"typed_extension_config": {
    "name": "envoy.load_balancing_policies.least_request",
    "typed_config": {"@type": "type.googleapis.com/envoy.extensions.load_balancing_policies.least_request.v3.LeastRequest",
                     "selection_method": "FULL_SCAN"},
}}]}}


class Envoy(Balanced, envoy.Envoy):
    note = "max_connect_attempts 3, outlier detection of 5 failures in a row for 10 s"

    def listener(self):
        proxy = {
            "@type": "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
            "stat_prefix": "bench",
            "cluster": "origin",
            "max_connect_attempts": TRIES,
            "idle_timeout": f"{IDLE_S}s",
        }
        return {
            "name": "bench",
            "address": _address("127.0.0.1", self.port),
            "tcp_backlog_size": 4096,
            "enable_reuse_port": False,
            "filter_chains": [{"filters": [{"name": "envoy.filters.network.tcp_proxy", "typed_config": proxy}]}],
        }

    def cluster(self):
        no_limit = {key: envoy.NO_LIMIT for key in ("max_connections", "max_pending_requests", "max_requests", "max_retries")}
        endpoints = [{"endpoint": {"address": _address(address, PORT)}} for address in ADDRESSES]
        return {
            "name": "origin",
            "type": "STATIC",
            **({"lb_policy": "ROUND_ROBIN"} if self.in_turn() else LEAST_OF_ALL),
            "connect_timeout": f"{CONNECT_S}s",
            "circuit_breakers": {"thresholds": [no_limit]},
            "outlier_detection": self.outlier_detection(),
            "load_assignment": {"cluster_name": "origin", "endpoints": [{"lb_endpoints": endpoints}]},
        }

    def outlier_detection(self):
        return {
            "split_external_local_origin_errors": True,
            "consecutive_local_origin_failure": 5,
            "interval": "1s",
            "base_ejection_time": f"{EJECTION_S}s",
            "max_ejection_percent": 100,
        }


class EnvoyChecks(Envoy):
    name = "envoy-checks"
    note = "the same with health checks"
    checks = True

    def outlier_detection(self):  # or a check that succeeds ends an ejection early, which is worse for one that flaps
        return {**super().outlier_detection(), "successful_active_health_check_uneject_host": False}

    def cluster(self):
        tcp = {"receive": [{"text": b"pony".hex()}]}
        if self.bench.speaker == "ask":
            tcp["send"] = {"text": QUESTION.encode().hex()}
        check = {"timeout": "1s", "interval": "1s", "no_traffic_interval": "1s", "unhealthy_threshold": 2, "healthy_threshold": 2,
                 "unhealthy_interval": "0.5s", "unhealthy_edge_interval": "0.25s", "reuse_connection": False, "tcp_health_check": tcp}
        return {**super().cluster(), "health_checks": [check]}


PEERS = {peer.name: peer for peer in (Direct, Outrigger, OutriggerChecks, OutriggerResets, OutriggerReplay, OutriggerHedge, HAProxy, Nginx, NginxShort, Envoy, EnvoyChecks)}


def _address(host, port):
    return {"socket_address": {"address": host, "port_value": port}}

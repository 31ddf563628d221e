"""Outrigger, as it comes: every timeout and limit has its default."""

import os

import yaml

from bench.peers.peer import Peer
from tests.support.servers import free_port


class Outrigger(Peer):
    name = "outrigger"
    note = "its defaults, one worker"
    redirect = True

    def config(self):
        config = {
            "version": 1,
            "workers": 1,
            "health": {"port": free_port()}, "admin": {"port": 0},
            "control": {"path": os.path.join(self.directory, "control.sock")},
        }
        if self.bench.namespace:
            return {**config, "intercept": {"outbound": {"unmatched": "passthrough"}}}
        return {
            **config,
            "listeners": [{"name": "bench", "address": f"127.0.0.1:{self.port}", "cluster": "origin"}],
            "clusters": [{
                "name": "origin",
                "endpoints": [{"address": f"127.0.0.1:{self.bench.origin.port}"}],
                "circuit_breaker": {"max_connections": 0},
            }],
        }

    def argv(self):
        return [os.path.join(self.bench.programs, "outrigger"), "-c", self.write("outrigger.yaml", yaml.safe_dump(self.config()))]

"""Thousands of connections that each carried one request and wait: their memory, and what they cost the busy ones."""

import time

from bench import load
from bench.workloads import small

NAME = "idle"
CONNECTIONS = 9000
VARIANTS = [f"{CONNECTIONS} connections, 64 busy"]


def run(bench, peer, variant, seconds):
    peer.start()
    with bench.hold(peer, 64):  # whatever is made once is made now
        pass
    time.sleep(0.5)
    memory_before = peer.memory_kib()[0]
    with bench.hold(peer, CONNECTIONS):
        time.sleep(1)
        memory_after = peer.memory_kib()[0]
        before = peer.cpu_ns()
        found = small.measures(peer, before, load.wrk(bench, peer.url(), seconds, 64))
    if memory_before is not None:
        found["bytes_per_connection"] = (memory_after - memory_before) * 1024 / CONNECTIONS
    return found

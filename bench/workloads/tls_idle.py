"""Connections that each carried one request and wait, both sides of TLS in one process; see tls_small."""

import time

from bench.peers.mesh import MESHED

NAME = "tls_idle"
CONNECTIONS = 2000
VARIANTS = [f"{CONNECTIONS} connections"]


def run(bench, peer, variant, seconds):
    del variant, seconds
    if peer.name not in MESHED:
        return None
    meshed = MESHED[peer.name](bench.meshed())
    try:
        meshed.start()
        with meshed.bench.hold(meshed, 64):
            time.sleep(0.5)  # whatever is made once is made now
        time.sleep(0.5)
        before = meshed.memory_kib()[0]
        with meshed.bench.hold(meshed, CONNECTIONS):
            time.sleep(1)
            return {"bytes_per_connection": (meshed.memory_kib()[0] - before) * 1024 / CONNECTIONS}
    finally:
        meshed.stop()

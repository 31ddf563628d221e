"""Bodies of 100 MB that wrk fetches from nginx; see tls_small."""

from bench import load
from bench.peers.mesh import MESHED
from bench.workloads import bulk

NAME = "tls_bulk"
VARIANTS = ["download"]


def run(bench, peer, variant, seconds):
    del variant
    if peer.name not in MESHED:
        return None
    meshed = MESHED[peer.name](bench.meshed())
    try:
        meshed.start()
        return bulk.measures(meshed, seconds, lambda: load.wrk(meshed.bench, meshed.url("/bulk"), seconds, bulk.CONNECTIONS))
    finally:
        meshed.stop()

"""Requests of a few bytes over connections that stay, through mutual TLS between two sidecars in one process."""

from bench.peers.mesh import MESHED
from bench.workloads import small

NAME = "tls_small"
VARIANTS = small.VARIANTS


def run(bench, peer, variant, seconds):
    if peer.name not in MESHED:
        return None
    meshed = MESHED[peer.name](bench.meshed())
    try:
        return small.run(meshed.bench, meshed, variant, seconds)
    finally:
        meshed.stop()

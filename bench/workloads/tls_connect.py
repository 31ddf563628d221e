"""A connection, and so a handshake, for each request; see tls_small."""

from bench.peers.mesh import MESHED
from bench.workloads import connect

NAME = "tls_connect"
VARIANTS = connect.VARIANTS


def run(bench, peer, variant, seconds):
    if peer.name not in MESHED:
        return None
    meshed = MESHED[peer.name](bench.meshed())
    try:
        return connect.run(meshed.bench, meshed, variant, seconds)
    finally:
        meshed.stop()

"""A connection for each request."""

from bench import load
from bench.workloads import small

NAME = "connect"
VARIANTS = ["64 at once"]


def run(bench, peer, variant, seconds):
    peer.start()
    before = peer.cpu_ns()
    done = load.wrk(bench, peer.url(), seconds, int(variant.split()[0]), "-H", "Connection: close")
    return small.measures(peer, before, done)

"""How long answers take at a rate that every proxy can carry; see pace.c."""

from bench import load
from bench.workloads import small

NAME = "latency"
RATE = 10_000
VARIANTS = [f"{RATE} requests/s"]
CONNECTIONS = 64


def run(bench, peer, variant, seconds):
    peer.start()
    reply_bytes = bench.reply_bytes(peer)
    before = peer.cpu_ns()
    done = load.pace(bench, peer.target()[1], seconds, CONNECTIONS, RATE, reply_bytes)
    found = small.measures(peer, before, {"seconds": seconds, **done})
    return {**found, "p999_us": done["p999_us"]}

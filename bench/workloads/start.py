"""From exec to the first request carried, memory at rest, and the size of the program."""

import os
import statistics
import time

NAME = "start"
VARIANTS = ["at rest"]
STARTS = 5


def run(bench, peer, variant, seconds):
    if peer.name == "direct":
        return None
    times = []
    for _ in range(STARTS):
        times.append(peer.start())
        time.sleep(0.2)
        resident, anonymous = peer.memory_kib()
        size = os.path.getsize(peer.executable())
        peer.stop()
    return {"ready_us": statistics.median(times) * 1e6, "rss_kib": resident, "anonymous_kib": anonymous, "binary_kib": size / 1024,
            "errors": 0}

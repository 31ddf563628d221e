"""Bodies of 100 MB, to the client and to the origin."""

import os

from bench import load
from bench.origin import BULK_BYTES

NAME = "bulk"
VARIANTS = ["download", "upload"]
CONNECTIONS = 4

UPLOAD = """wrk.method = "POST"
wrk.body = string.rep("x", {bytes})
"""


def run(bench, peer, variant, seconds):
    peer.start()
    before = peer.cpu_ns()
    if variant == "download":
        done = load.wrk(bench, peer.url("/bulk"), seconds, CONNECTIONS)
        passed = done["bytes_read"]
    else:
        script = os.path.join(bench.directory, "upload.lua")
        with open(script, "w", encoding="ascii") as file:
            file.write(UPLOAD.format(bytes=BULK_BYTES))
        done = load.wrk(bench, peer.url("/sink"), seconds, CONNECTIONS, "-s", script)
        passed = done["requests"] * BULK_BYTES
    after = peer.cpu_ns()
    return {
        "requests_per_second": done["requests"] / done["seconds"],
        "bytes_per_second": passed / done["seconds"],
        "cpu_us_per_request": None if before is None or not done["requests"] else (after - before) / 1000 / done["requests"],
        "rss_kib": peer.memory_kib()[0],
        "errors": done["errors"],
    }

"""Bodies of 100 MB: wrk fetches them from nginx, and upload.py sends them to sink.py."""

from bench import load
from bench.origin import BULK_BYTES

NAME = "bulk"
VARIANTS = ["download", "upload"]
CONNECTIONS = 4


def run(bench, peer, variant, seconds):
    if variant == "upload":
        with bench.sink() as to_sink:
            uploading = type(peer)(to_sink)
            try:
                uploading.start(answers=uploading.is_open)
                return measures(uploading, seconds, lambda: load.upload(to_sink, uploading, seconds, CONNECTIONS, BULK_BYTES))
            finally:
                uploading.stop()
    peer.start()
    return measures(peer, seconds, lambda: load.wrk(bench, peer.url("/bulk"), seconds, CONNECTIONS))


def measures(peer, seconds, loading):
    before = peer.cpu_ns()
    done = loading()
    after = peer.cpu_ns()
    bodies = done["bytes"] / BULK_BYTES
    return {
        "requests_per_second": bodies / done["seconds"],
        "bytes_per_second": done["bytes"] / done["seconds"],
        "cpu_us_per_request": None if before is None else (after - before) / 1000 / bodies,
        "rss_kib": peer.memory_kib()[0],
        "errors": done["errors"],
    }

"""Requests of a few bytes over connections that stay: 64 and 512 of them."""

from bench import load

NAME = "small"
VARIANTS = ["64 connections", "512 connections"]


def run(bench, peer, variant, seconds):
    peer.start()
    before = peer.cpu_ns()
    done = load.wrk(bench, peer.url(), seconds, int(variant.split()[0]))
    return measures(peer, before, done)


def measures(peer, before, done):
    after = peer.cpu_ns()
    return {
        "requests_per_second": done["requests"] / done["seconds"],
        "cpu_us_per_request": None if before is None else (after - before) / 1000 / done["requests"],
        "p50_us": done["p50_us"],
        "p99_us": done["p99_us"],
        "rss_kib": peer.memory_kib()[0],
        "errors": done["errors"],
    }

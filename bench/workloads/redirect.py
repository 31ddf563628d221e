"""The small and connect loads from a namespace whose connections nftables redirects to the proxy."""

from bench.workloads import connect, small

NAME = "redirect"
VARIANTS = ["small, 64 connections", "connect, 64 at once"]


def run(bench, peer, variant, seconds):
    if not peer.redirect:
        return None
    kind, inner = variant.split(", ")
    redirected = type(peer)(bench.redirected(to_proxy=peer.name != "direct"))
    try:
        return {"small": small, "connect": connect}[kind].run(redirected.bench, redirected, inner, seconds)
    finally:
        redirected.stop()

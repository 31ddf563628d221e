"""One proxy between the torture's two ends, and what it must have counted afterwards."""

import os
import re
import subprocess

from .outrigger import Outrigger, built_programs
from .processes import eventually, run
from .servers import free_port

TORTURE = os.path.join(built_programs(), "torture")

# Buffer sizes that the proxy is tried with: its own, the smallest, small, large.
LIMITS = [{}, {"buffer_per_connection": "4KiB", "buffer_memory": "1MiB"}, {"buffer_per_connection": "16KiB", "buffer_memory": "1MiB"},
          {"buffer_per_connection": "1MiB"}]

# How a connection may end there.
REASONS = {"completed", "client_reset", "upstream_reset", "client_gone"}


class Violation(AssertionError):
    """What the torture found, with the words that play it again."""


def play(words, timeout):
    """Runs the torture client and server; returns the bytes that it passed."""
    try:
        done = run([TORTURE, *words], check=False, timeout=timeout)
    except subprocess.TimeoutExpired as expired:
        raise Violation(f"not done after {timeout} s: {words}") from expired
    if done.returncode != 0 or " 0 violations" not in done.stdout:
        raise Violation(done.stdout + done.stderr)
    return int(re.search(r"(\d+) bytes", done.stdout).group(1))


def torture_proxy(programs, directory, seed, connections, limits, at_once=200, timeout=280, log="info", environment=None):
    """Starts a proxy, plays so many connections through it, checks its account, and ends it; returns the bytes passed."""
    upstream, port = free_port(), free_port()
    proxy = Outrigger(programs, directory, {
        "workers": 2,
        "log": {"format": "text", "level": log},
        "limits": limits,
        "health": {"port": free_port()}, "admin": {"port": 0},
        "listeners": [{"name": "test", "address": f"127.0.0.1:{port}", "cluster": "test"}],
        "clusters": [{"name": "test", "endpoints": [{"address": f"127.0.0.1:{upstream}"}], "retry": {"attempts": 1}}],
    }, environment=environment)
    try:
        passed = play(["--listen", upstream, "--connect", port, "--connections", connections, "--seed", seed, "--at-once", at_once],
                      timeout)
        try:
            eventually(lambda: proxy.active() == 0, what="no connection left")
        except AssertionError as stuck:
            raise Violation(f"{proxy.active()} connections are left: {proxy.status()}") from stuck
        traffic = proxy.traffic("test", "listener")
        account = {"opened": traffic["opened"], "ended": traffic["ended"]}
        if traffic["opened"] != sum(traffic["ended"].values()) or not set(traffic["ended"]) <= REASONS:
            raise Violation(f"the proxy's account: {account}")
        if traffic["opened"] > connections:
            raise Violation(f"more connections than were made: {account}")
        return passed
    finally:
        code = proxy.stop()
        if code != 0:
            raise Violation(f"the proxy ended with {code}:\n{proxy.log()[-4000:]}")

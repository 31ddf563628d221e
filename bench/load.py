"""Loads, and what they report."""

import json
import os
import re
import sys

from bench.processes import pin
from tests.support.processes import run

from bench.peers.peer import Failed

UNITS_US = {"us": 1, "ms": 1000, "s": 1_000_000, "m": 60_000_000}


def _in(namespace, argv):
    return namespace.command(argv) if namespace else argv


def wrk(bench, url, seconds, connections, *words):
    """Runs wrk; returns requests, seconds, p50_us, p99_us, errors, bytes."""
    argv = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", "--timeout", "10s", *words, url]
    output = run(_in(bench.namespace, argv), timeout=seconds + 60, preexec_fn=pin(bench.load_core)).stdout
    done = re.search(r"(\d+) requests in ([\d.]+)(us|ms|s|m),", output)
    if not done or int(done.group(1)) == 0:
        raise Failed(f"no request was answered: {output.strip() or 'wrk says nothing'}")
    errors = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", output)
    other = re.search(r"Non-2xx or 3xx responses: (\d+)", output)
    result = {
        "requests": int(done.group(1)),
        "seconds": float(done.group(2)) * UNITS_US[done.group(3)] / 1e6,
        "errors": sum(int(count) for count in errors.groups()) + (int(other.group(1)) if other else 0) if errors
                  else int(other.group(1)) if other else 0,
    }
    read = re.search(r", ([\d.]+)(B|KB|MB|GB|TB) read", output)
    result["bytes"] = float(read.group(1)) * 1024 ** ("B", "KB", "MB", "GB", "TB").index(read.group(2))
    for percent in (50, 99):
        found = re.search(rf"^\s+{percent}%\s+([\d.]+)(us|ms|s|m)$", output, re.MULTILINE)
        result[f"p{percent}_us"] = float(found.group(1)) * UNITS_US[found.group(2)] if found else None
    return result


def pace(bench, port, seconds, connections, rate, expected_bytes):
    """Runs bench-pace; returns what it prints."""
    argv = [os.path.join(bench.programs, "bench-pace"), bench.host, port, connections, rate, seconds, expected_bytes]
    done = run(_in(bench.namespace, argv), check=False, timeout=seconds + 60, preexec_fn=pin(bench.load_core))
    if done.returncode != 0:
        raise Failed(done.stderr.strip())
    return json.loads(done.stdout)


def upload(bench, peer, seconds, connections, body_bytes):
    """Runs upload.py; returns what it prints."""
    argv = [sys.executable, "-B", os.path.join(os.path.dirname(__file__), "upload.py"), *peer.target(), connections, seconds, body_bytes]
    return json.loads(run(argv, timeout=seconds + 60, preexec_fn=pin(bench.load_core)).stdout)

"""In steady state an exchange costs four data system calls, and epoll is never reprogrammed."""

import re
import subprocess
import time

from tests.support.clients import connect
from tests.support.servers import echo

EXCHANGES = 1000


def counts(summary):
    """strace -c's table: calls by name."""
    found = {}
    for line in summary.splitlines():
        row = re.match(r"\s*[\d.]+\s+[\d.]+\s+\d+\s+(\d+)\s+(?:\d+\s+)?(\w+)$", line)
        if row:
            found[row.group(2)] = int(row.group(1))
    found.pop("total", None)
    return found


def test_exchange_in_steady_state_costs_four_data_calls(serve, plain, tmp_path):
    proxy, port = plain([serve(echo).port], workers=1)
    with connect(port) as client:
        client.sendall(b"warm")
        assert client.recv(10) == b"warm"
        path = tmp_path / "strace"
        strace = subprocess.Popen(["strace", "-f", "-c", "-o", path, "-p", str(proxy.pid)], stderr=subprocess.PIPE, text=True)
        while "attached" not in strace.stderr.readline():
            assert strace.poll() is None
        time.sleep(0.3)
        for _ in range(EXCHANGES):
            client.sendall(b"ping")
            assert client.recv(10) == b"ping"
        strace.terminate()
        strace.wait()
    calls = counts(path.read_text())
    data = sum(calls.get(name, 0) for name in ("read", "recvfrom", "recvmsg", "write", "sendto", "sendmsg"))
    assert 4 * EXCHANGES <= data <= 4 * EXCHANGES * 1.02
    assert calls.get("epoll_ctl", 0) == 0
    assert set(calls) <= {"recvfrom", "sendto", "epoll_wait", "read", "write"}, calls

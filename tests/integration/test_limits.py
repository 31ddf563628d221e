"""Limits are exact, say why, and free their place again; a famine of descriptors costs little and passes."""

import os
import resource
import socket
import time

from tests.support.clients import ending, exchange, outcome, served
from tests.support.outrigger import Outrigger
from tests.support.processes import cpu_seconds, eventually
from tests.support.servers import echo, free_port


def test_one_more_than_max_connections_is_reset_and_a_free_place_is_used(serve, plain):
    proxy, port = plain([serve(echo).port], limits={"max_connections": 2}, workers=2)
    first, second = served(port), served(port)
    assert outcome(port, b"x") == (b"", "reset")
    eventually(lambda: proxy.ended("test") == {"max_connections": 1}, what="the account")
    first.close()
    eventually(lambda: proxy.active() == 1, what="a free place")
    third = served(port)
    assert proxy.is_ready()  # control does not count
    second.close()
    third.close()


def test_circuit_breaker_limit_of_one_is_one_over_all_workers(serve, plain):
    server = serve(echo)
    proxy, port = plain([server.port], {"circuit_breaker": {"max_connections": 1, "pending_timeout": 0}}, workers=4)
    client = served(port)
    for _ in range(20):
        assert outcome(port, b"x") == (b"", "reset")
    eventually(lambda: proxy.ended("test") == {"circuit_breaker": 20}, what="the account")
    assert server.accepted == 1
    assert proxy.traffic("test", "listener")["connect_failures"] == {}  # local, no failure of the endpoint
    client.close()
    eventually(lambda: proxy.active() == 0, what="a free place")
    assert exchange(port, b"again") == b"again"


def test_descriptor_famine_pauses_accepting_and_costs_little(serve, plain):
    """OUTRIGGER_FAMINE_SECONDS makes it last longer than CI's few seconds."""
    seconds = int(os.environ.get("OUTRIGGER_FAMINE_SECONDS", "3"))
    server = serve(echo)
    proxy, port = plain([server.port], limits={"max_connections": 1000}, workers=1)
    keep = [served(port) for _ in range(5)]
    descriptors = len(os.listdir(f"/proc/{proxy.pid}/fd"))
    resource.prlimit(proxy.pid, resource.RLIMIT_NOFILE, (descriptors + 5, 20000))
    flood = []
    for _ in range(40):
        client = socket.socket()
        client.setblocking(False)
        client.connect_ex(("127.0.0.1", port))
        flood.append(client)
    time.sleep(0.5)
    before = cpu_seconds(proxy.pid)
    for _ in range(seconds):
        time.sleep(1)
        for client in keep:  # established connections go on
            client.sendall(b"y")
            assert client.recv(1) == b"y"
    assert cpu_seconds(proxy.pid) - before < 0.2 * seconds  # a fifth of a core
    assert "accepting pauses" in proxy.log()
    for client in flood:
        client.close()
    resource.prlimit(proxy.pid, resource.RLIMIT_NOFILE, (20000, 20000))
    begun = time.monotonic()
    assert exchange(port, b"back") == b"back"
    assert time.monotonic() - begun < 1
    for client in keep:
        client.close()


def test_too_high_a_limit_is_lowered_and_control_keeps_its_descriptors(serve, programs, tmp_path):
    """Regression: with an explicit limit, clients could take the last descriptor, and health no longer answered."""
    port = free_port()
    config = {"limits": {"max_connections": 1000000}, "health": {"port": free_port()}, "workers": 1, "drain": {"timeout": "200ms"},
              "listeners": [{"name": "test", "address": f"127.0.0.1:{port}", "cluster": "test"}],
              "clusters": [{"name": "test", "endpoints": [{"address": f"127.0.0.1:{serve(echo, backlog=500).port}"}]}]}
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    proxy = Outrigger(programs, tmp_path / "proxy", config, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (300, 300)))
    assert (soft, hard) == resource.getrlimit(resource.RLIMIT_NOFILE)
    assert "limits.max_connections is 1000000, but the limit of 300 descriptors allows only" in proxy.log()
    flood = []
    for _ in range(300):
        client = socket.socket()
        client.setblocking(False)
        client.connect_ex(("127.0.0.1", port))
        flood.append(client)
    time.sleep(0.5)
    assert proxy.is_ready()
    ended = proxy.ended("test")
    assert set(ended) == {"max_connections"} and ended["max_connections"] > 100
    for client in flood:
        client.close()
    assert proxy.stop() == 0


def test_reset_refusals_leak_nothing(serve, plain):
    proxy, port = plain([serve(echo).port], {"circuit_breaker": {"max_connections": 1, "pending_timeout": 0}})
    client = served(port)
    before = len(os.listdir(f"/proc/{proxy.pid}/fd"))
    for _ in range(300):
        outcome(port)
    assert len(os.listdir(f"/proc/{proxy.pid}/fd")) <= before  # who has asked for readiness may have been there
    assert ending_of(client) == (b"", "end")


def ending_of(client):
    client.shutdown(socket.SHUT_WR)
    try:
        return ending(client)
    finally:
        client.close()

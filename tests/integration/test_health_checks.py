"""Active health checks through the real binary: what passes, what fails, when an endpoint goes and comes back."""

import os
import resource
import time

import pytest

from tests.support.clients import connect, ending, exchange
from tests.support.processes import eventually
from tests.support.servers import echo, free_port, receive_all

FAST = {"interval": "50ms", "timeout": "300ms"}


def health(proxy):
    return [endpoint["health"] for endpoint in proxy.status()["clusters"][0]["endpoints"]]


def checked(plain, ports, check, **more):
    return plain(ports, {"health_check": {**FAST, **check}, "outlier_detection": {"consecutive_failures": 0}, **more})


def test_endpoint_that_is_down_at_first_gets_no_connection(serve, plain):
    proxy, port = checked(plain, [free_port(), serve(echo).port], {})
    eventually(lambda: health(proxy) == ["unhealthy", "healthy"], what="the first check")
    for _ in range(20):
        assert exchange(port, b"x") == b"x"
    assert proxy.traffic("test", "listener")["retries"] == 0
    assert "is unhealthy: Connection refused" in proxy.log()


def test_endpoint_goes_after_fall_and_comes_back_after_rise(serve, plain):
    accepted = []

    def count(connection):
        accepted.append(time.monotonic())
        connection.close()

    server = serve(count)
    proxy, _ = checked(plain, [server.port, serve(echo).port], {"rise": 3, "fall": 2})
    eventually(lambda: len(accepted) >= 2, what="checks")
    assert health(proxy) == ["healthy", "healthy"]
    port = server.port
    server.close()
    begun = time.monotonic()
    eventually(lambda: health(proxy)[0] == "unhealthy", what="down")
    assert time.monotonic() - begun < 1
    accepted.clear()
    serve(count, port=port)
    eventually(lambda: health(proxy)[0] == "healthy", what="back")
    assert len(accepted) >= 3 and "is healthy again" in proxy.log()


def test_first_failures_below_fall_change_nothing(serve, plain):
    """One reset among good answers is not a fall of two."""
    count = [0]

    def sometimes(connection):
        count[0] += 1
        connection.sendall(b"no" if count[0] % 2 == 0 else b"yes")
        connection.close()

    proxy, _ = checked(plain, [serve(sometimes).port], {"type": "send_expect", "expect": "yes", "fall": 2})
    eventually(lambda: count[0] > 12, what="checks")
    assert health(proxy) == ["healthy"]


def redis_like(connection):
    if connection.recv(100) == b"PING\r\n":
        connection.sendall(b"+PO")
        time.sleep(0.05)
        connection.sendall(b"NG\r\n")
    connection.close()


@pytest.mark.parametrize("check, function, passes", [
    ({"type": "send_expect", "send": "PING\r\n", "expect": "+PONG"}, redis_like, True),
    ({"type": "send_expect", "send": "PANG\r\n", "expect": "+PONG"}, redis_like, False),
    ({"type": "send_expect", "expect": "220 "}, lambda c: (c.sendall(b"220 mail ESMTP\r\n"), receive_all(c)), True),
    ({"type": "send_expect", "expect": "220 "}, lambda c: (c.sendall(b"554 no\r\n"), c.close()), False),
    ({"type": "send_expect", "expect": "220 "}, lambda c: time.sleep(1), False),  # the timeout
    ({"type": "send_expect", "expect": "x"}, lambda c: c.sendall(b"y" * 100000), False),  # more than is looked at
    ({"type": "send_expect", "send": "QUIT\r\n"}, echo, True),
    ({"type": "http", "path": "/health", "host": "app.example"},
     lambda c: c.sendall(b"HTTP/1.1 200 OK\r\n\r\n" if b"GET /health HTTP/1.1\r\nHost: app.example\r\n" in c.recv(1000) else b"HTTP/1.1 404 x\r\n\r\n"),
     True),
    ({"type": "http"}, lambda c: (c.recv(1000), c.sendall(b"HTTP/1.1 302 Found\r\n\r\n")), True),
    ({"type": "http"}, lambda c: (c.recv(1000), c.sendall(b"HTTP/1.1 503 Busy\r\n\r\n")), False),
    ({"type": "http"}, lambda c: (c.recv(1000), c.sendall(b"SSH-2.0-x\r\n")), False),
    ({"type": "http"}, lambda c: (c.recv(1000), c.sendall(b"HTTP/1.1 2"), c.close()), False),
    ({"type": "http"}, lambda c: (c.recv(1000), c.close()), False),
    ({"type": "tcp"}, lambda c: c.close(), True),
])
def test_verdicts(serve, plain, check, function, passes):
    proxy, _ = checked(plain, [serve(function).port, serve(echo).port], check)
    # The other endpoint fails or passes as it may; only the first is of interest.
    eventually(lambda: health(proxy)[0] == ("healthy" if passes else "unhealthy"), what="the verdict")
    time.sleep(0.3)
    assert health(proxy)[0] == ("healthy" if passes else "unhealthy")


def test_check_of_another_port(serve, plain):
    side = serve(lambda connection: connection.close())
    proxy, port = checked(plain, [serve(echo).port], {"port": side.port})
    eventually(lambda: side.accepted > 3, what="checks at the other port")
    assert health(proxy) == ["healthy"] and exchange(port, b"x") == b"x"
    side.close()
    eventually(lambda: health(proxy) == ["unhealthy"], what="down")
    assert exchange(port, b"x") == b"x"  # all are down: all are used


@pytest.mark.parametrize("closes", [False, True])
def test_connections_to_an_unhealthy_endpoint_go_on_or_are_closed(serve, plain, closes):
    side = serve(lambda connection: connection.close())
    proxy, port = checked(plain, [serve(echo).port], {"port": side.port, "fall": 1}, close_on_unhealthy=closes)
    clients = [connect(port) for _ in range(10)]
    for client in clients:
        client.sendall(b"x")
        assert client.recv(1) == b"x"
    side.close()
    eventually(lambda: health(proxy) == ["unhealthy"], what="down")
    if closes:
        assert [ending(client) for client in clients] == [(b"", "reset")] * 10
        eventually(lambda: proxy.ended("test") == {"unhealthy": 10}, what="the account")
        return
    for client in clients:
        client.sendall(b"y")
        assert client.recv(1) == b"y"
        client.close()


def test_checks_of_a_fleet_do_not_keep_step(serve, plain):
    """Intervals differ, none by more than a tenth."""
    server = serve(lambda connection: connection.close())
    plain([server.port], {"health_check": {"interval": "200ms"}})
    begun, before, gaps, last = time.monotonic(), server.accepted, [], None
    while time.monotonic() - begun < 4:
        if server.accepted != before:
            now = time.monotonic()
            gaps.append(now - last if last else 0.2)
            before, last = server.accepted, now
        time.sleep(0.001)
    assert 15 <= len(gaps) <= 25 and all(0.16 < gap < 0.26 for gap in gaps), gaps
    assert max(gaps) - min(gaps) > 0.01


def test_failover_by_checks_alone(serve, plain):
    """Lower priorities take over when the first are unhealthy, with no failed connection in between."""
    backup = serve(echo)
    proxy, port = plain([free_port(), {"address": f"127.0.0.1:{backup.port}", "priority": 1}], {"health_check": FAST})
    eventually(lambda: health(proxy) == ["unhealthy", "healthy"], what="the check")
    for _ in range(5):
        assert exchange(port, b"x") == b"x"
    assert proxy.traffic("test", "listener")["connect_failures"] == {}


def test_a_thousand_checks_cost_little(serve, plain):
    server = serve(lambda connection: connection.close(), host="0.0.0.0", backlog=1024)
    proxy, _ = plain([f"127.0.{number // 250 + 1}.{number % 250 + 1}:{server.port}" for number in range(1000)],
                     {"health_check": {"interval": "1s"}})
    eventually(lambda: server.accepted > 1000, what="a round")
    with open(f"/proc/{proxy.pid}/stat", encoding="ascii") as file:
        before = sum(map(int, file.read().split()[13:15]))
    time.sleep(2)
    with open(f"/proc/{proxy.pid}/stat", encoding="ascii") as file:
        used = (sum(map(int, file.read().split()[13:15])) - before) / os.sysconf("SC_CLK_TCK")
    assert used < 1.0
    assert set(health(proxy)) == {"healthy"}


def test_timeout_is_the_whole_check_s(serve, plain):
    """Regression: each byte of a trickling answer began the timeout anew."""
    def trickle(connection):
        for _ in range(100):
            connection.sendall(b".")
            time.sleep(0.1)

    proxy, _ = checked(plain, [serve(trickle).port, serve(echo).port], {"type": "send_expect", "expect": "x", "send": "x"})
    eventually(lambda: health(proxy) == ["unhealthy", "healthy"], timeout=2, what="the verdict")


def test_own_lack_of_descriptors_is_no_verdict(serve, plain):
    """Regression: without a descriptor for the check, every endpoint was down, and close_on_unhealthy reset every connection."""
    proxy, port = checked(plain, [serve(echo).port], {}, close_on_unhealthy=True)
    client = connect(port)
    client.sendall(b"x")
    assert client.recv(1) == b"x"
    resource.prlimit(proxy.pid, resource.RLIMIT_NOFILE, (3, 20000))
    eventually(lambda: "health checks are left out" in proxy.log(), what="the lack")
    resource.prlimit(proxy.pid, resource.RLIMIT_NOFILE, (1000, 20000))
    assert health(proxy) == ["healthy"]
    client.sendall(b"y")
    assert client.recv(1) == b"y"
    client.close()


def test_required_waits_for_the_first_check_whatever_it_says(serve, plain):
    """An endpoint that accepts and then does not answer: its check takes the whole timeout."""
    silent = serve(lambda connection: connection.recv(100))
    check = {"type": "send_expect", "send": "x", "expect": "y", "timeout": "800ms", "interval": "10s"}
    proxy, _ = plain([silent.port], {"required": True, "health_check": check}, wait=False)
    eventually(lambda: silent.accepted == 1, what="it is being checked")
    assert '"blockers":["endpoints"]' in proxy.request("GET", "/healthz/ready")[1]
    eventually(proxy.is_ready, what="ready", timeout=2)
    assert health(proxy) == ["unhealthy"]


def test_a_verdict_under_way_is_not_waited_for_by_whole_intervals(serve, plain):
    """Five failures in a row, a second apart, would take 3.6 s at least."""
    server = serve(echo)
    proxy, _ = plain([server.port], {"health_check": {"interval": "1s", "fall": 5}})
    time.sleep(0.5)
    server.close()
    eventually(lambda: health(proxy) == ["unhealthy"], what="the verdict", timeout=2.9)

"""A second attempt beside a slow one: who wins, what it costs, and that an endpoint that never answers is still ejected."""

import resource
import socket
import threading
import time

import pytest

from tests.support.clients import connect, ending, exchange, outcome, seconds
from tests.support.processes import eventually, run
from tests.support.servers import Silent, echo, free_port


@pytest.fixture
def silent():
    made = []

    def make(*arguments, **options):
        made.append(Silent(*arguments, **options))
        return made[-1]

    yield make
    for each in made:
        each.close()


def hedged(plain, endpoints, retry=None, **cluster):
    return plain(endpoints, {"retry": {"hedge_after": "100ms", **(retry or {})}, "timeouts": {"connect": "1s"},
                             "outlier_detection": {"consecutive_failures": 0}, **cluster}, workers=1)


def test_the_second_attempt_wins_where_the_first_is_silent(plain, serve, silent):
    proxy, port = hedged(plain, [silent().port, serve(echo).port])
    took = [seconds(lambda: exchange(port, b"hello")) for _ in range(6)]
    assert all(reply == b"hello" for _, reply in took)
    slow = [duration for duration, _ in took if duration > 0.08]
    assert len(slow) == 3 and max(slow) < 0.4, took
    traffic = proxy.traffic("test", "listener")
    assert traffic["retries"] == 3 and traffic["ended"] == {"completed": 6}
    assert proxy.metrics()['outrigger_hedges_total{direction="listener",cluster="test"}'] == 3


def test_the_first_attempt_may_still_win(plain, silent, serve):
    """Its listener makes room while the second attempt is under way, to a listener that never does."""
    first, second = silent(), silent()
    proxy, port = hedged(plain, [first.port, second.port], timeouts={"connect": "8s"})
    with connect(port) as client:
        eventually(lambda: proxy.traffic("test", "listener")["retries"] == 1, what="the second attempt")
        with first.accept() as upstream:
            client.sendall(b"hello")
            assert upstream.recv(5) == b"hello"
            upstream.sendall(b"world")
            assert client.recv(5) == b"world"
    eventually(lambda: proxy.active() == 0, what="no connection left")


def test_a_silent_endpoint_is_ejected_although_no_connection_waits_for_it(plain, serve, silent):
    proxy, port = hedged(plain, [silent().port, serve(echo).port],
                         outlier_detection={"consecutive_failures": 3, "base_ejection": "1m"}, timeouts={"connect": "400ms"})
    for _ in range(6):
        assert exchange(port, b"x") == b"x"
    eventually(lambda: proxy.status()["clusters"][0]["endpoints"][0]["health"] == "ejected", what="the verdict", timeout=2)
    assert max(seconds(lambda: exchange(port, b"x"))[0] for _ in range(6)) < 0.08
    assert proxy.status()["clusters"][0]["endpoints"][0]["active"] == 0


def test_an_endpoint_that_is_merely_slow_is_not_ejected(plain, serve, silent):
    slow = silent()
    proxy, port = hedged(plain, [slow.port, serve(echo).port], outlier_detection={"consecutive_failures": 1},
                         timeouts={"connect": "18s"})  # a SYN is repeated after 1, 3, 7 and 15 s
    assert [exchange(port, b"x") for _ in range(2)] == [b"x", b"x"]
    slow.accept().close()
    time.sleep(1.2)  # the kernel repeats its SYN
    assert proxy.status()["clusters"][0]["endpoints"][0]["health"] == "healthy"


def test_when_the_first_fails_the_second_goes_on_alone(plain, silent):
    first, second = silent(), silent()
    proxy, port = hedged(plain, [first.port, second.port], timeouts={"connect": "8s"}, retry={"attempts": 2})
    with connect(port) as client:
        eventually(lambda: proxy.traffic("test", "listener")["retries"] == 1, what="the second attempt")
        first.close()  # the kernel repeats its SYN after a second
        eventually(lambda: proxy.traffic("test", "listener")["connect_failures"] == {"refused": 1}, what="the first's end")
        with second.accept() as upstream:
            client.sendall(b"a")
            assert upstream.recv(1) == b"a"
            upstream.close()
            assert ending(client)[1] == "end"
    eventually(lambda: proxy.ended("test") == {"completed": 1}, what="the account")


def test_when_the_second_is_refused_a_third_follows(plain, serve, silent):
    proxy, port = hedged(plain, [silent().port, free_port(), serve(echo).port], retry={"attempts": 3})
    took, reply = seconds(lambda: exchange(port, b"x"))
    assert reply == b"x" and 0.08 < took < 0.4
    assert proxy.traffic("test", "listener")["connect_failures"] == {"refused": 1}


def test_both_silent_end_with_connect_timeout_and_attempts_are_a_limit(plain, silent):
    proxy, port = hedged(plain, [silent().port, silent().port, silent().port], retry={"attempts": 2}, timeouts={"connect": "300ms"})
    took, end = seconds(lambda: outcome(port, b"x"))
    assert end == (b"", "reset") and 0.35 < took < 0.8
    traffic = proxy.traffic("test", "listener")
    assert traffic["ended"] == {"connect_timeout": 1} and traffic["connect_failures"] == {"timeout": 2} and traffic["retries"] == 1


def test_one_endpoint_alone_is_not_hedged(plain, silent):
    proxy, port = hedged(plain, [silent().port], timeouts={"connect": "300ms"}, retry={"attempts": 1})
    assert outcome(port, b"x") == (b"", "reset")
    assert proxy.traffic("test", "listener")["retries"] == 0


def test_hedges_are_within_the_budget(plain, serve, silent):
    budget = {"percent": "0%", "min_per_second": 0, "burst": 2}
    proxy, port = hedged(plain, [silent().port, serve(echo).port], retry={"budget": budget, "attempts": 3}, timeouts={"connect": "300ms"})
    results = [outcome(port, b"x")[1] for _ in range(8)]
    assert results.count("reset") == 2, results  # four meet the silent one, two of them with a hedge
    assert proxy.traffic("test", "listener")["retries"] == 2


def test_client_that_goes_cancels_both(plain, silent):
    proxy, port = hedged(plain, [silent().port, silent().port], timeouts={"connect": "8s"})
    client = connect(port)
    eventually(lambda: proxy.traffic("test", "listener")["retries"] == 1, what="the second attempt")
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    client.close()
    eventually(lambda: proxy.ended("test") == {"client_gone": 1}, what="the account")
    assert [each["active"] for each in proxy.status()["clusters"][0]["endpoints"]] == [0, 0]


def test_end_while_losers_are_under_way_is_clean(plain, serve, silent):
    """The fixture looks at exit code and sanitizers."""
    proxy, port = hedged(plain, [silent().port, serve(echo).port], timeouts={"connect": "8s"})
    for _ in range(4):
        assert exchange(port, b"x") == b"x"
    assert proxy.status()["clusters"][0]["endpoints"][0]["active"] == 2
    assert proxy.stop() == 0


def test_a_flood_of_losers_is_bounded(plain, serve, silent):
    proxy, port = hedged(plain, [silent().port, serve(echo, backlog=1024).port], timeouts={"connect": "20s"},
                         retry={"hedge_after": "50ms", "budget": {"burst": 1000}})
    clients = [threading.Thread(target=lambda: exchange(port, b"x")) for _ in range(200)]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    eventually(lambda: proxy.ended("test") == {"completed": 200}, what="the account")
    assert proxy.status()["clusters"][0]["endpoints"][0]["active"] <= 16


def test_hedges_for_which_there_is_no_place_begin_later(plain, silent):
    """Regression: where more connections became slow at once than hedges may be under way, the rest waited for their timeouts."""
    first, second = silent(), silent()
    proxy, port = hedged(plain, [first.port, second.port], timeouts={"connect": "8s"}, retry={"attempts": 2, "budget": {"burst": 1000}})
    clients = [connect(port) for _ in range(40)]
    eventually(lambda: proxy.traffic("test", "listener")["retries"] == 32, what="as many as there may be")
    for client in clients[::2]:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        client.close()
    eventually(lambda: proxy.ended("test") == {"client_gone": 20}, what="room")
    eventually(lambda: [each["active"] for each in proxy.status()["clusters"][0]["endpoints"]] == [20, 20],
               what="a hedge of everyone's", timeout=2)
    for client in clients[1::2]:
        client.close()


def test_hedge_after_that_would_never_happen_is_refused(programs, tmp_path):
    path = tmp_path / "outrigger.yaml"
    path.write_text("version: 1\nlisteners: [{name: a, address: \"127.0.0.1:1\", cluster: a}]\nclusters:\n"
                    "- {name: a, endpoints: [{address: \"127.0.0.1:2\"}], retry: {hedge_after: 3s}}\n")
    done = run([f"{programs}/outrigger", "-c", path, "--check"], check=False)
    assert done.returncode == 2
    assert "clusters[0].retry.hedge_after: not shorter than timeouts.connect" in done.stderr


def test_hedges_leave_the_descriptors_of_control_alone(start, silent):
    """Regression: each waiting connection took a third descriptor, until health and control did not answer any more."""
    port = free_port()
    cluster = {"name": "test", "endpoints": [{"address": f"127.0.0.1:{silent().port}"} for _ in range(2)],
               "circuit_breaker": {"max_connections": 0}, "timeouts": {"connect": "8s"},
               "retry": {"hedge_after": "300ms", "attempts": 2, "budget": {"burst": 10000}}}
    proxy = start({"workers": 1, "drain": {"timeout": "200ms"}, "clusters": [cluster],
                   "listeners": [{"name": "test", "address": f"127.0.0.1:{port}", "cluster": "test"}]},
                  preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (600, 600)))
    clients = []
    for _ in range(220):
        clients.append(socket.socket())
        clients[-1].setblocking(False)
        clients[-1].connect_ex(("127.0.0.1", port))
    eventually(lambda: proxy.traffic("test", "listener")["retries"] == 32, what="as many hedges as there may be", timeout=5)
    time.sleep(0.5)
    assert proxy.request("GET", "/healthz/live", timeout=2)[0] == 200
    assert proxy.traffic("test", "listener")["retries"] == 32 and "accepting pauses" not in proxy.log()
    for client in clients:
        client.close()


def test_a_hedge_that_fails_at_once_is_not_followed_where_that_is_not_retried(plain, silent, tmp_path):
    """Regression: it used up all attempts in one turn."""
    proxy, port = hedged(plain, [silent().port, *(f"unix:{tmp_path}/none{i}" for i in range(3))], retry={"attempts": 4, "on": ["timeout"]})
    with connect(port):
        eventually(lambda: proxy.traffic("test", "listener")["connect_failures"] == {"refused": 1}, what="the hedge")
        time.sleep(0.2)
        assert proxy.traffic("test", "listener")["retries"] == 1

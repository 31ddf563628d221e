"""How many clients may come in: exact for each source over all listeners and workers, and so many a second, the rest later."""

import contextlib
import threading
import time

import pytest

from tests.support.clients import connect, exchange, outcome, served
from tests.support.injection import Injection
from tests.support.processes import eventually
from tests.support.servers import echo, free_port

RESET = (b"", "reset")


def header(source):
    return f"PROXY TCP4 {source} 192.0.2.99 1000 80\r\n".encode()


def announced(port, source):
    """A connection of a load balancer's for a client of its own; it stays."""
    client = connect(port)
    client.sendall(header(source) + b"x")
    assert client.recv(1) == b"x"
    return client


def two_listeners(start, server, limits, **config):
    ports = free_port(), free_port()
    proxy = start({"listeners": [{"name": f"l{i}", "address": f"127.0.0.1:{port}", "cluster": "test"} for i, port in enumerate(ports)],
                   "clusters": [{"name": "test", "endpoints": [{"address": f"127.0.0.1:{server.port}"}]}],
                   "drain": {"timeout": "200ms"}, "limits": limits, **config})
    return proxy, *ports


def test_each_source_has_its_own_places_over_all_listeners(serve, start):
    """D6"""
    proxy, first, second = two_listeners(start, serve(echo), {"max_connections_per_source": 2}, workers=2)
    one, other = served(first), served(second)
    assert outcome(first, b"x") == RESET and outcome(second, b"x") == RESET
    elsewhere = [served(port, source="127.0.0.2") for port in (first, second)]
    assert outcome(first, b"x", source="127.0.0.2") == RESET
    one.close()
    eventually(lambda: proxy.active() == 3, what="a free place")
    again = served(second)
    assert outcome(first, b"x") == RESET
    assert proxy.ended("test") == {"completed": 1, "max_connections_per_source": 4}
    reason = 'outrigger_connections_ended_total{direction="listener",cluster="test",reason="max_connections_per_source"}'
    assert proxy.metrics()[reason] == 4
    for client in (other, again, *elsewhere):
        client.close()
    eventually(lambda: proxy.active() == 0, what="the ends")
    assert exchange(first, b"hello") == b"hello"


@pytest.mark.parametrize("limits", [{"max_connections_per_source": 1}, {"max_connections": 1}])
def test_who_has_seen_its_end_may_come_back(serve, plain, limits):
    """Regression: the place became free after the end could be seen, and one in a hundred was refused."""
    proxy, port = plain([serve(echo).port], limits=limits, workers=2)
    with Injection(proxy.pid, "close:delay_exit=20000"):
        for _ in range(20):
            assert exchange(port, b"x") == b"x"
    assert proxy.ended("test") == {"completed": 20}


def test_who_is_refused_reaches_no_endpoint(serve, plain):
    server = serve(echo)
    _proxy, port = plain([server.port], limits={"max_connections_per_source": 1})
    with served(port):
        assert [outcome(port, b"x") for _ in range(20)] == [RESET] * 20
    assert server.accepted == 1


def test_a_crowd_gets_exactly_as_many_places_as_there_are(serve, plain):
    proxy, port = plain([serve(echo).port], limits={"max_connections_per_source": 7}, workers=4)
    for turn in range(5):
        clients, gate = [], threading.Barrier(40)

        def come():
            gate.wait()
            client = connect(port)
            with contextlib.suppress(ConnectionResetError, BrokenPipeError):  # one too many, by the account below
                client.sendall(b"x")
                if client.recv(1) == b"x":
                    clients.append(client)

        threads = [threading.Thread(target=come, daemon=True) for _ in range(40)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
        assert len(clients) == 7
        for client in clients:
            client.close()
        eventually(lambda: proxy.active() == 0, what="the ends")
        assert proxy.ended("test") == {"completed": 7 * (turn + 1), "max_connections_per_source": 33 * (turn + 1)}


def test_the_source_is_who_was_announced(serve, start):
    """All clients come from one load balancer's address; what has not announced anybody yet holds no place."""
    server, port = serve(echo), free_port()
    proxy = start({"listeners": [{"name": "l", "address": f"127.0.0.1:{port}", "cluster": "test", "accept_proxy_protocol": True}],
                   "clusters": [{"name": "test", "endpoints": [{"address": f"127.0.0.1:{server.port}"}]}],
                   "drain": {"timeout": "200ms"}, "limits": {"max_connections_per_source": 1}})
    waiting = connect(port)
    clients = [announced(port, f"198.51.100.{i}") for i in range(1, 5)]
    assert outcome(port, header("198.51.100.2") + b"x") == RESET
    clients[1].close()
    eventually(lambda: proxy.ended("test").get("completed") == 1, what="a free place")
    clients[1] = announced(port, "198.51.100.2")
    waiting.sendall(header("198.51.100.2") + b"x")
    with pytest.raises(ConnectionResetError):
        waiting.recv(1)
    for client in clients:
        client.close()


def test_a_reload_changes_it_for_those_that_come(serve, start):
    port = free_port()
    config = {"listeners": [{"name": "l0", "address": f"127.0.0.1:{port}", "cluster": "test"}], "health": {"port": free_port()},
              "clusters": [{"name": "test", "endpoints": [{"address": f"127.0.0.1:{serve(echo).port}"}]}], "drain": {"timeout": "200ms"}}
    proxy = start(config)
    before = [served(port) for _ in range(3)]
    for most, places in ((2, 2), (3, 1), (1, 0), (0, 5)):
        status, text = proxy.reload({**config, "limits": {"max_connections_per_source": most}})
        assert status == 200, text
        before += [served(port) for _ in range(places)]
        if most:
            assert outcome(port, b"x") == RESET
    for client in before:
        client.sendall(b"y")
        assert client.recv(1) == b"y"
        client.close()
    eventually(lambda: proxy.active() == 0, what="the ends")
    assert proxy.reload({**config, "limits": {"max_connections_per_source": 1}})[0] == 200
    with served(port):
        assert outcome(port, b"x") == RESET


def come_at_once(port, count):
    """Connects them all, and returns them with the seconds after which each was served."""
    begun, clients = time.monotonic(), [connect(port, timeout=20) for _ in range(count)]
    for client in clients:
        client.sendall(b"x")
    took = []
    for client in clients:
        assert client.recv(1) == b"x"
        took.append(time.monotonic() - begun)
    return clients, took


@pytest.mark.parametrize("workers", [1, 2])
def test_so_many_a_second_are_accepted_and_the_rest_later(serve, plain, workers):
    proxy, port = plain([serve(echo).port], limits={"accept_rate": 50}, workers=workers)
    clients, took = come_at_once(port, 105)
    assert 1.95 < max(took) < 6, "5 at once, and then 50 a second"
    assert proxy.metrics()['outrigger_accept_pauses_total{cause="rate"}'] > 0
    assert "accepting rests: more than limits.accept_rate, 50 a second" in proxy.log()
    assert proxy.log().count("accepting rests") <= 2 * workers, "not a line for each"
    for client in clients:
        client.close()
    proxy.expect_ended({"completed": 105}, "test")


@pytest.mark.parametrize("crowded", [0, 1])
def test_a_crowd_at_one_listener_does_not_keep_others_out(serve, start, crowded):
    """Regression: the first of the listeners had every turn."""
    _proxy, *ports = two_listeners(start, serve(echo), {"accept_rate": 10}, workers=1)
    crowd = [connect(ports[crowded]) for _ in range(40)]
    begun = time.monotonic()
    with served(ports[1 - crowded]):
        assert time.monotonic() - begun < 2, "it had to wait for all of them"
    for client in crowd:
        client.close()


def test_as_many_as_the_rate_allows_are_no_alarm(serve, plain):
    """Regression: a worker that had used up its part said that too many had come, though nobody waited."""
    proxy, port = plain([serve(echo).port], limits={"accept_rate": 2}, workers=1)
    for _ in range(3):
        assert exchange(port, b"x") == b"x"
        time.sleep(0.6)
    assert proxy.metrics()['outrigger_accept_pauses_total{cause="rate"}'] == 0 and "accepting rests" not in proxy.log()


def test_those_that_are_there_do_not_feel_it(serve, plain):
    _proxy, port = plain([serve(echo).port], limits={"accept_rate": 1}, workers=1)
    client = served(port)
    waiting = [connect(port) for _ in range(20)]
    begun = time.monotonic()
    for _ in range(100):
        client.sendall(b"y")
        assert client.recv(1) == b"y"
    assert time.monotonic() - begun < 5
    for each in (client, *waiting):
        each.close()


def test_a_reload_changes_the_rate_at_once(serve, plain):
    proxy, port = plain([serve(echo).port], limits={"accept_rate": 1}, workers=1, health={"port": free_port()})
    with open(proxy.config_path, encoding="utf-8") as file:
        text = file.read()
    clients = [connect(port) for _ in range(30)]
    for client in clients:
        client.sendall(b"x")
    assert clients[0].recv(1) == b"x"
    with open(proxy.config_path, "w", encoding="utf-8") as file:
        file.write(text.replace("accept_rate: 1", "accept_rate: 0"))
    assert proxy.request("POST", "/reload")[0] == 200
    begun = time.monotonic()
    for client in clients[1:]:
        assert client.recv(1) == b"x"
        client.close()
    assert time.monotonic() - begun < 2


def test_draining_takes_who_waits_at_once(serve, plain):
    """They were promised a connection by the kernel; closing the socket would reset them."""
    proxy, port = plain([serve(echo).port], limits={"accept_rate": 1}, workers=1, drain={"timeout": "10s"})
    clients = [connect(port) for _ in range(30)]
    for client in clients:
        client.sendall(b"x")
    proxy.request("POST", "/drain")
    begun = time.monotonic()
    for client in clients:
        assert client.recv(1) == b"x"
        client.close()
    assert time.monotonic() - begun < 3
    proxy.expect_ended({"completed": 30}, "test")

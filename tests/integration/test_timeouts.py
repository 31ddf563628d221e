"""Each clock ends the connections it guards, with its own reason, and no other."""

import socket
import threading
import time

from tests.support.clients import connect, ending, exchange
from tests.support.processes import eventually
from tests.support.servers import Silent, echo, receive_all


def quiet(connection):
    receive_all(connection)


def test_idle_connection_ends_with_a_reset_and_its_reason(serve, plain):
    proxy, port = plain([serve(quiet).port], {"timeouts": {"idle": "500ms"}})
    with connect(port) as client:
        begun = time.monotonic()
        assert ending(client) == (b"", "reset")
        assert 0.45 < time.monotonic() - begun < 1.5
    eventually(lambda: proxy.ended("test") == {"idle_timeout": 1}, what="the account")


def test_bytes_in_either_direction_keep_a_connection(serve, plain):
    def ticks(connection):
        for _ in range(6):
            connection.sendall(b"tick")
            time.sleep(0.25)
        receive_all(connection)

    proxy, port = plain([serve(ticks).port], {"timeouts": {"idle": "600ms"}})
    with connect(port) as client:
        received = b""
        while len(received) < 24:
            received += client.recv(100)
        for _ in range(6):
            time.sleep(0.25)
            client.sendall(b"tock")
        assert proxy.active() == 1
        assert ending(client) == (b"", "reset")
    eventually(lambda: proxy.ended("test") == {"idle_timeout": 1}, what="the account")


def test_half_close_has_a_clock_of_its_own(serve, plain):
    """idle alone would let it live for an hour."""
    proxy, port = plain([serve(lambda connection: (receive_all(connection), time.sleep(5))).port],
                        {"timeouts": {"half_close": "400ms"}})
    with connect(port) as client:
        client.sendall(b"x")
        client.shutdown(socket.SHUT_WR)
        assert ending(client) == (b"", "reset")
    eventually(lambda: proxy.ended("test") == {"half_close_timeout": 1}, what="the account")
    assert proxy.active() == 0


def test_silent_endpoint_is_given_up_after_connect_and_the_next_serves(serve, plain):
    silent = Silent()
    proxy, port = plain([silent.port, serve(echo).port], {"timeouts": {"connect": "300ms"}})
    slow = 0
    for _ in range(2):
        begun = time.monotonic()
        assert exchange(port, b"hello") == b"hello"
        slow += time.monotonic() - begun > 0.25
    assert slow == 1
    eventually(lambda: proxy.traffic("test", "listener")["connect_failures"] == {"timeout": 1}, what="the account")
    silent.close()


def test_silent_endpoint_alone_ends_with_connect_timeout(plain):
    silent = Silent()
    proxy, port = plain([silent.port], {"timeouts": {"connect": "200ms"}, "retry": {"attempts": 2}})
    with connect(port) as client:
        assert ending(client) == (b"", "reset")
    eventually(lambda: proxy.ended("test") == {"connect_timeout": 1}, what="the account")
    eventually(lambda: proxy.traffic("test", "listener")["connect_failures"] == {"timeout": 2}, what="the account")
    silent.close()


def test_reader_that_has_stopped_for_five_times_dead_peer_survives(serve, plain):
    """It acknowledges the kernel's probes of its closed window: it is slow, not dead."""
    data = b"x" * 8_000_000

    def send(connection):
        connection.sendall(data)
        connection.close()

    proxy, port = plain([serve(send).port], {"timeouts": {"dead_peer": "1s"}})
    with connect(port, receive_buffer=8192, timeout=30) as client:
        time.sleep(5.5)
        assert proxy.active() == 1
        assert receive_all(client) == data


def keepalive_of(pid, port):
    """The timers that ss shows for the proxy's sockets of a port."""
    from tests.support.processes import run
    return run(["ss", "-tno", "state", "established", f"( sport = :{port} or dport = :{port} )"]).stdout


def test_keepalive_is_on_for_both_sides_of_lasting_connections(serve, plain):
    server = serve(echo)
    _, port = plain([server.port], {"timeouts": {"keepalive": "7s"}})
    with connect(port):
        eventually(lambda: f":{port}" in keepalive_of(0, port) and "timer:(keepalive" in keepalive_of(0, port), timeout=5,
                   what="keepalive towards the client")
        assert "timer:(keepalive" in keepalive_of(0, server.port)


def test_thousand_connections_with_a_short_idle_all_end(serve, plain):
    server = serve(quiet, backlog=1024)
    proxy, port = plain([server.port], {"timeouts": {"idle": "1s"}}, workers=2)
    clients = []
    lock = threading.Lock()

    def open_some():
        for _ in range(100):
            client = connect(port)
            with lock:
                clients.append(client)

    threads = [threading.Thread(target=open_some) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    eventually(lambda: proxy.active() == 0, timeout=20, what="all ended")
    eventually(lambda: proxy.ended("test") == {"idle_timeout": 1000}, what="the account")
    for client in clients:
        client.close()

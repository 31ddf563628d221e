"""Bytes arrive in order and whole, and each ending arrives as what it was: FIN as FIN, RST as RST."""

import hashlib
import os
import socket
import threading
import time

import pytest

from tests.support.clients import connect, ending, exchange, linger_zero, outcome, pattern
from tests.support.injection import Injection
from tests.support.processes import eventually
from tests.support.servers import echo, free_port, receive_all, reset
from tests.support.stopped_thread import threads_of


def test_server_first_banner_arrives_without_a_client_byte(serve, plain):
    def banner(connection):
        connection.sendall(b"220 hello\r\n")
        receive_all(connection)
        connection.close()

    proxy, port = plain([serve(banner).port])
    with connect(port) as client:
        begun = time.monotonic()
        assert client.recv(100) == b"220 hello\r\n"
        assert time.monotonic() - begun < 0.2
        client.shutdown(socket.SHUT_WR)
        assert ending(client) == (b"", "end")
    eventually(lambda: proxy.ended("test") == {"completed": 1}, what="completed")


def test_upstream_that_writes_and_closes_is_read_to_its_end(serve, plain):
    def world(connection):
        connection.sendall(b"world")
        connection.close()

    proxy, port = plain([serve(world).port])
    with connect(port) as client:
        assert ending(client) == (b"world", "end")
    eventually(lambda: proxy.ended("test") == {"completed": 1}, what="completed")


def test_client_that_writes_and_closes_is_delivered(serve, plain):
    received = []
    server = serve(lambda connection: received.append(receive_all(connection)))
    proxy, port = plain([server.port])
    with connect(port) as client:
        client.sendall(b"farewell")
    eventually(lambda: received == [b"farewell"], what="delivery")
    server.connections[0].close()
    eventually(lambda: proxy.active() == 0, what="no connection left")


def test_half_close_of_the_client_lets_the_reply_through(serve, plain):
    """As `ssh host cat < file` does: the request ends, the reply takes its time."""

    def late(connection):
        request = receive_all(connection)
        time.sleep(0.3)
        connection.sendall(request[::-1])
        connection.close()

    _, port = plain([serve(late).port])
    assert exchange(port, b"abc") == b"cba"


def test_half_close_of_the_upstream_lets_the_client_go_on(serve, plain):
    received = []

    def early(connection):
        connection.sendall(b"done")
        connection.shutdown(socket.SHUT_WR)
        received.append(receive_all(connection))
        connection.close()

    _, port = plain([serve(early).port])
    with connect(port) as client:
        assert receive_all(client) == b"done"
        for _ in range(5):
            client.sendall(b"more")
            time.sleep(0.02)
    eventually(lambda: received == [b"more" * 5], what="late bytes")


def test_reset_of_the_upstream_reaches_the_client_after_its_bytes(serve, plain):
    def cut(connection):
        connection.recv(10)
        connection.sendall(b"partial")
        time.sleep(0.2)
        reset(connection)

    proxy, port = plain([serve(cut).port])
    with connect(port) as client:
        client.sendall(b"x")
        assert ending(client) == (b"partial", "reset")
    eventually(lambda: proxy.ended("test") == {"upstream_reset": 1}, what="reason")


def test_reset_of_the_client_reaches_the_upstream_after_its_bytes(serve, plain):
    seen = []
    server = serve(lambda connection: seen.append(ending(connection)))
    proxy, port = plain([server.port])
    client = connect(port)
    client.sendall(b"partial")
    time.sleep(0.2)
    linger_zero(client)
    client.close()
    eventually(lambda: seen == [(b"partial", "reset")], what="reset")
    eventually(lambda: proxy.ended("test") == {"client_reset": 1}, what="reason")


def test_reset_behind_a_large_backlog_loses_no_byte_before_it(serve, plain):
    """Regression: a write that found the cut first took the error away, and the rest was read as a clean end."""
    data = pattern(600_000)

    def cut(connection):
        connection.recv(1)
        connection.sendall(data)
        connection.recv(1)  # the client has begun to read
        time.sleep(0.3)
        reset(connection)

    _, port = plain([serve(cut).port], limits={"buffer_per_connection": "1MiB"})
    with connect(port) as client:
        client.sendall(b"x")
        first = client.recv(1000)
        client.sendall(b"y")
        rest, how = ending(client)
    assert how == "reset"
    assert first + rest == data


def test_reset_is_held_back_while_a_slow_client_takes_its_bytes(serve, plain):
    """Regression: a second after the queue was empty, what the kernel still held was dropped."""
    data = pattern(3 * 1024 * 1024)

    def cut(connection):
        connection.recv(1)
        connection.sendall(data)
        time.sleep(0.5)
        reset(connection)

    _, port = plain([serve(cut).port], limits={"buffer_per_connection": "4MiB"})
    with connect(port, receive_buffer=65536) as client:
        client.sendall(b"x")
        received = b""
        try:
            while part := client.recv(20_000):
                received += part
                time.sleep(0.02)
        except ConnectionResetError:
            pass
    assert received == data


def test_upstream_closed_while_the_client_goes_on_sending_is_a_reset(serve, plain):
    def rude(connection):
        connection.recv(10)
        connection.close()  # with nothing unread: FIN; what comes later is answered with RST

    proxy, port = plain([serve(rude).port])
    with connect(port) as client:
        client.sendall(b"x")
        assert client.recv(10) == b""

        def goes_on():
            try:
                client.sendall(b"more")
                return False
            except (ConnectionResetError, BrokenPipeError):
                return True

        eventually(goes_on, what="reset")
    eventually(lambda: proxy.active() == 0, what="no connection left")
    eventually(lambda: proxy.ended("test") == {"upstream_reset": 1}, what="the account")


def test_reset_in_half_close_is_noticed_without_traffic(serve, plain):
    """The client has finished, the upstream is silent; then the client is cut: nothing is read or written to find it."""
    server = serve(lambda connection: receive_all(connection))
    proxy, port = plain([server.port])
    client = connect(port)
    client.sendall(b"x")
    client.shutdown(socket.SHUT_WR)
    eventually(lambda: server.accepted == 1, what="accepted")
    time.sleep(0.2)
    linger_zero(client)
    client.close()
    eventually(lambda: proxy.ended("test") == {"client_reset": 1}, what="reason", timeout=3)


def test_stopped_client_gets_every_byte_once_it_reads(serve, plain):
    data = pattern(50 * 1024 * 1024)

    def send(connection):
        connection.sendall(data)
        connection.close()

    proxy, port = plain([serve(send).port])
    with connect(port, receive_buffer=65536) as client:
        time.sleep(1)
        assert proxy.traffic("test", "listener")["bytes_from_upstream"] < 20 * 1024 * 1024
        assert hashlib.sha256(receive_all(client)).digest() == hashlib.sha256(data).digest()


@pytest.mark.parametrize("buffer", ["4KiB", "16KiB", "256KiB"])
def test_large_exchange_both_ways_is_exact_with_every_buffer(serve, plain, buffer):
    data = pattern(8 * 1024 * 1024, seed=3)
    _, port = plain([serve(echo).port], limits={"buffer_per_connection": buffer})
    with connect(port) as client:
        received = []
        reader = threading.Thread(target=lambda: received.append(receive_all(client)))
        reader.start()
        client.sendall(data)
        client.shutdown(socket.SHUT_WR)
        reader.join(60)
    assert received == [data]


def test_orderly_end_of_both_sides_with_bytes_still_waiting_is_no_cut(serve, plain):
    """Regression: POLLHUP, which both FINs raise as well, was taken for a reset while the reader was slow."""
    data = pattern(6_000_000)

    def answer(connection):
        receive_all(connection)
        connection.sendall(data)
        connection.close()

    proxy, port = plain([serve(answer).port], limits={"buffer_per_connection": "16KiB"})
    for _ in range(3):
        with connect(port, receive_buffer=16384) as client:
            client.sendall(b"x")
            client.shutdown(socket.SHUT_WR)
            time.sleep(0.3)
            received = client.recv(1)
            while len(received) < 3_000_000:
                received += client.recv(100_000)
            time.sleep(0.3)
            rest, how = ending(client)
            assert (received + rest == data, how) == (True, "end")
    eventually(lambda: proxy.ended("test") == {"completed": 3}, what="completed")


def test_message_sizes_that_grow_are_exact(serve, plain):
    _, port = plain([serve(echo).port])
    with connect(port) as client:
        for size in [1, 2, 3, 1000, 4095, 4096, 4097, 65535, 65536, 65537, 262143, 262144, 262145, 1048577]:
            data = pattern(size, seed=size)
            sender = threading.Thread(target=client.sendall, args=(data,))
            sender.start()
            received = b""
            while len(received) < size:
                received += client.recv(size - len(received))
            sender.join()
            assert received == data


def test_many_connections_at_once_are_counted_back_to_zero(serve, plain):
    server = serve(echo)
    proxy, port = plain([server.port], workers=2)
    clients = [connect(port) for _ in range(200)]
    for number, client in enumerate(clients):
        client.sendall(b"%d" % number)
    for number, client in enumerate(clients):
        assert client.recv(100) == b"%d" % number
    assert proxy.active() == 200
    assert proxy.metrics()['outrigger_connections_active{direction="listener",cluster="test"}'] == 200
    for client in clients:
        client.close()
    eventually(lambda: proxy.active() == 0, what="no connection left")
    eventually(lambda: proxy.ended("test") == {"completed": 200}, what="the account")
    assert server.accepted == 200


def test_early_data_and_end_wait_for_the_upstream(plain, serve):
    """The client sends, and finishes, before the upstream can be reached."""
    port_upstream = free_port()
    proxy, port = plain([port_upstream], {"retry": {"attempts": 50, "backoff": {"base": "50ms", "max": "100ms"}}})
    client = connect(port)
    client.sendall(b"early")
    client.shutdown(socket.SHUT_WR)
    eventually(lambda: proxy.traffic("test", "listener")["retries"] > 2, what="retries")
    server = serve(echo, port=port_upstream)
    assert ending(client) == (b"early", "end")
    client.close()
    assert server.accepted == 1
    eventually(lambda: proxy.ended("test") == {"completed": 1}, what="completed")


def test_client_that_closes_without_a_byte_leaks_no_upstream(serve, plain):
    seen = []

    def record(connection):
        seen.append(ending(connection))
        connection.close()

    proxy, port = plain([serve(record).port])
    for _ in range(20):
        connect(port).close()
    eventually(lambda: seen == [(b"", "end")] * 20, what="the upstream's ends")
    eventually(lambda: proxy.active() == 0, what="no connection left")
    traffic = proxy.traffic("test", "listener")
    assert traffic["ended"] == {"completed": 20}
    assert traffic["bytes_from_client"] == traffic["bytes_from_upstream"] == 0


@pytest.mark.parametrize("first", ["client", "upstream"])
def test_an_orderly_end_is_counted_before_anybody_sees_it(serve, plain, first):
    """Regression: the last FIN was sent before the connection was in the account, and by a system call of its own."""
    seen = threading.Event()
    server = serve(lambda connection: (first == "upstream" and connection.shutdown(socket.SHUT_WR), receive_all(connection),
                                       seen.set(), connection.close()))
    proxy, port = plain([server.port], workers=1)
    worker = threads_of(proxy.pid)[-1]
    with Injection(worker, "shutdown,close:delay_exit=200000", one_thread=True), connect(port) as client:
        if first == "client":
            client.shutdown(socket.SHUT_WR)
        assert receive_all(client) == b""
        if first == "upstream":
            client.shutdown(socket.SHUT_WR)
            assert seen.wait(5)
        assert proxy.ended("test") == {"completed": 1}


def test_client_cut_while_connecting_cancels_the_attempt(plain):
    proxy, port = plain([free_port()], {"retry": {"attempts": 100, "backoff": {"base": "10s", "max": "10s"}}})
    client = connect(port)
    client.sendall(b"early")
    eventually(lambda: proxy.traffic("test", "listener")["retries"] >= 1, what="backoff")
    linger_zero(client)
    client.close()
    eventually(lambda: proxy.ended("test") == {"client_gone": 1}, what="reason", timeout=3)
    assert proxy.active() == 0


def test_unix_socket_upstream_works(serve, plain, tmp_path):
    path = os.path.join(tmp_path, "app.sock")
    server = serve(echo, path=path)
    proxy, port = plain([f"unix:{path}"])
    for _ in range(3):
        assert exchange(port, b"over a path") == b"over a path"
    assert server.accepted == 3
    os.unlink(path)
    assert outcome(port) == (b"", "reset")
    eventually(lambda: proxy.ended("test") == {"completed": 3, "connect_refused": 1}, what="the account")


def test_ipv6_listener_and_endpoint_work(serve, start):
    server = serve(echo, host="::1", family=socket.AF_INET6)
    port = free_port(socket.AF_INET6, "::1")
    start({"listeners": [{"name": "six", "address": f"[::1]:{port}", "cluster": "six"}],
           "clusters": [{"name": "six", "endpoints": [{"address": f"[::1]:{server.port}"}]}]})
    assert exchange(port, b"six", host="::1") == b"six"


def test_fast_connection_beside_stopped_ones_goes_on(serve, plain):
    """buffer_memory is used up by readers that have stopped; a reader that reads still gets its bytes."""
    data = pattern(4 * 1024 * 1024)

    def send(connection):
        connection.sendall(data)
        connection.close()

    proxy, port = plain([serve(send).port], limits={"buffer_memory": "1MiB", "buffer_per_connection": "1MiB"})
    stopped = [connect(port, receive_buffer=4096) for _ in range(40)]
    eventually(lambda: proxy.traffic("test", "listener")["bytes_from_upstream"] > 1_000_000, what="stopped readers")
    time.sleep(0.5)
    with connect(port) as client:
        assert receive_all(client) == data
    for client in stopped:
        assert receive_all(client) == data
        client.close()

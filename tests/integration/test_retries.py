"""Which attempts are made, in which order, and which failures are worth another."""

import socket
import threading
import time

import pytest

from tests.support.clients import connect, connect_late, ending, exchange, outcome
from tests.support.injection import Injection
from tests.support.processes import eventually, run, stopped
from tests.support.servers import echo, free_port, reset


def test_refused_upstream_ends_with_a_reset_at_once(plain):
    proxy, port = plain([free_port()], {"retry": {"attempts": 1}})
    begun = time.monotonic()
    assert outcome(port) == (b"", "reset")
    assert time.monotonic() - begun < 0.5
    eventually(lambda: proxy.ended("test") == {"connect_refused": 1}, what="the account")


def test_next_endpoint_serves_when_others_refuse(serve, plain):
    server = serve(echo)
    proxy, port = plain([free_port(), free_port(), server.port], {"outlier_detection": {"consecutive_failures": 0}})
    for _ in range(9):
        assert exchange(port, b"hello") == b"hello"
    eventually(lambda: proxy.ended("test") == {"completed": 9}, what="the account")
    traffic = proxy.traffic("test", "listener")
    assert traffic["retries"] == traffic["connect_failures"]["refused"] == 9  # 0, 1 or 2 a connection, in turn
    assert server.accepted == 9


def test_attempts_are_a_limit(serve, plain):
    proxy, port = plain([free_port(), free_port(), serve(echo).port], {"retry": {"attempts": 2}})
    assert sorted(outcome(port, b"x") for _ in range(3)) == [(b"", "reset"), (b"x", "end"), (b"x", "end")]
    eventually(lambda: proxy.ended("test") == {"completed": 2, "connect_refused": 1}, what="the account")


def test_causes_that_are_not_listed_are_not_tried_again(serve, plain):
    proxy, port = plain([free_port(), serve(echo).port], {"retry": {"on": ["timeout"]}})
    assert sorted(outcome(port, b"x") for _ in range(2)) == [(b"", "reset"), (b"x", "end")]
    assert proxy.traffic("test", "listener")["retries"] == 0


def test_backoff_comes_once_every_endpoint_was_tried(plain):
    proxy, port = plain([free_port(), free_port()],
                        {"retry": {"attempts": 6, "backoff": {"base": "400ms", "max": "400ms"}}})
    durations = []
    for _ in range(4):
        begun = time.monotonic()
        assert outcome(port) == (b"", "reset")
        durations.append(time.monotonic() - begun)
    # Four pauses each, random from nothing to 400 ms: together 16, so their mean is near 200 ms.
    assert 0.8 < sum(durations) < 5.6
    assert len({round(duration, 2) for duration in durations}) > 1
    eventually(lambda: proxy.traffic("test", "listener")["connect_failures"] == {"refused": 24}, what="the account")


def test_upstream_that_comes_back_serves_those_who_wait(serve, plain):
    port_upstream = free_port()
    _, port = plain([port_upstream], {"retry": {"attempts": 100, "backoff": {"base": "20ms", "max": "100ms"}, "budget": {"burst": 2000}}})
    results = []
    threads = [threading.Thread(target=lambda: results.append(exchange(port, b"patience"))) for _ in range(20)]
    for thread in threads:
        thread.start()
    time.sleep(0.5)
    serve(echo, port=port_upstream)
    for thread in threads:
        thread.join(10)
    assert results == [b"patience"] * 20


def accept_and_reset(connection):
    time.sleep(0.05)
    reset(connection)


def test_reset_before_any_client_byte_goes_to_the_next_endpoint(serve, plain):
    bad, good = serve(accept_and_reset), serve(lambda connection: (connection.sendall(b"banner"), connection.close()))
    proxy, port = plain([bad.port, good.port])
    for _ in range(4):
        with connect(port) as client:
            assert ending(client) == (b"banner", "end")
    eventually(lambda: proxy.traffic("test", "listener")["connect_failures"] == {"reset_before_reply": 2}, what="the account")


def read_and_reset(connection):
    connection.recv(10)
    reset(connection)


def test_reset_after_client_bytes_without_replay_is_not_tried_again(serve, plain):
    bad, good = serve(read_and_reset), serve(echo)
    proxy, port = plain([bad.port, good.port])
    assert sorted(outcome(port, b"once") for _ in range(2)) == [(b"", "reset"), (b"once", "end")]
    eventually(lambda: proxy.ended("test") == {"completed": 1, "upstream_reset": 1}, what="the account")


def test_replay_sends_the_same_bytes_and_the_end_again(serve, plain):
    data = b"r" * 10000
    bad, good = serve(read_and_reset), serve(echo)
    proxy, port = plain([bad.port, good.port], {"retry": {"replay": "16KiB"}})
    for _ in range(6):
        assert exchange(port, data) == data
    eventually(lambda: proxy.ended("test") == {"completed": 6}, what="the account")
    assert proxy.traffic("test", "listener")["connect_failures"] == {"reset_before_reply": 3}


def test_replay_beyond_its_limit_is_given_up(serve, plain):
    bad = serve(lambda connection: (time.sleep(0.3), reset(connection)))
    proxy, port = plain([bad.port], {"retry": {"replay": "1KiB"}})
    with connect(port) as client:
        client.sendall(b"z" * 2000)
        assert ending(client) == (b"", "reset")
    assert bad.accepted == 1
    eventually(lambda: proxy.ended("test") == {"upstream_reset": 1}, what="the account")


def test_replay_never_after_a_byte_of_the_reply(serve, plain):
    def half_answer(connection):
        connection.recv(10)
        connection.sendall(b"half")
        time.sleep(0.1)
        reset(connection)

    bad = serve(half_answer)
    _, port = plain([bad.port], {"retry": {"replay": "16KiB"}})
    with connect(port) as client:
        client.sendall(b"x")
        assert ending(client) == (b"half", "reset")
    assert bad.accepted == 1


def test_reset_behind_part_of_a_reply_is_never_tried_again(serve, plain):
    """Regression: two reads and the reset in one turn still counted as no reply, and a second reply was appended."""
    part = b"A" * 8192

    def send_and_reset(connection):
        connection.recv(10)
        connection.sendall(part)
        reset(connection)

    bad, good = serve(send_and_reset), serve(lambda connection: (connection.recv(10), connection.sendall(b"B"), connection.close()))
    _, port = plain([bad.port, good.port], {"retry": {"replay": "16KiB"}}, limits={"buffer_per_connection": "4KiB"})
    for _ in range(40):
        with connect(port) as client:
            client.sendall(b"x")
            data, _ = ending(client)
        assert data == b"B" or part.startswith(data)


def test_reply_that_waits_unread_behind_a_reset_is_delivered(serve, plain):
    """Regression: a send that met the reset first threw the reply away and tried the next endpoint."""
    arrived = threading.Event()

    def refuse_with_words(connection):
        arrived.wait(5)
        connection.sendall(b"ERR busy")
        time.sleep(0.05)
        reset(connection)

    proxy, port = plain([serve(refuse_with_words).port, serve(echo).port], {"retry": {"replay": "16KiB"}})
    with connect(port) as client:
        eventually(lambda: proxy.active() == 1, what="accepted")
        time.sleep(0.1)
        with stopped(proxy.pid):
            client.sendall(b"request")
            arrived.set()
            time.sleep(0.3)
        assert ending(client) == (b"ERR busy", "reset")


def test_banner_and_reset_at_once_are_both_passed_on(serve, plain):
    """Regression: handshake, bytes and reset in one event looked like a refused connection."""
    server = serve(lambda connection: (connection.sendall(b"banner"), reset(connection)))
    proxy, port = plain([server.port], {"retry": {"attempts": 1}})
    for _ in range(60):
        with connect_late(port) as client:
            assert ending(client) == (b"banner", "reset")
    eventually(lambda: proxy.ended("test") == {"upstream_reset": 60}, what="the account")


@pytest.mark.parametrize("attempts", [1, 3])
def test_banner_and_reset_before_the_attempt_is_looked_at(serve, plain, attempts):
    """Regression: asking with a second connect(2) took the reset, and threw the banner away."""
    server = serve(lambda connection: (connection.sendall(b"banner"), reset(connection)))
    proxy, port = plain([server.port], {"retry": {"attempts": attempts}}, workers=1)
    with Injection(proxy.pid, "connect:delay_exit=50000"), connect_late(port) as client:
        assert ending(client) == (b"banner", "reset")
    eventually(lambda: proxy.ended("test") == {"upstream_reset": 1}, what="upstream_reset")
    assert proxy.traffic("test", "listener")["retries"] == 0


def test_banner_and_end_before_the_attempt_is_looked_at(serve, plain):
    server = serve(lambda connection: (connection.sendall(b"banner"), connection.close()))
    proxy, port = plain([server.port], workers=1)
    with Injection(proxy.pid, "connect:delay_exit=50000"), connect(port) as client:
        client.shutdown(socket.SHUT_WR)
        assert ending(client) == (b"banner", "end")


def test_replay_of_many_small_writes_is_exact(serve, plain):
    """Regression: beyond 32 chunks a replay ended the connection for want of memory."""
    def reset_late(connection):
        total = 0
        while total < 60 * 5000:
            total += len(connection.recv(65536))
        reset(connection)

    bad, good = serve(reset_late), serve(echo)
    _, port = plain([bad.port, good.port], {"retry": {"replay": "1MiB"}}, limits={"buffer_per_connection": "1MiB"})
    with connect(port) as client:
        for number in range(60):
            client.sendall(bytes([number]) * 5000)
            time.sleep(0.002)
        client.shutdown(socket.SHUT_WR)
        assert ending(client) == (b"".join(bytes([number]) * 5000 for number in range(60)), "end")


def test_upstream_after_a_late_retry_has_keepalive_too(serve, plain):
    good = serve(echo)
    bad = serve(lambda connection: (time.sleep(1.5), reset(connection)))
    _, port = plain([bad.port, good.port])
    with connect(port):
        eventually(lambda: good.accepted == 1, what="the retry", timeout=5)
        words = ["ss", "-tno", "state", "established", f"( dport = :{good.port} )"]
        eventually(lambda: "keepalive" in run(words).stdout, what="keepalive", timeout=8)


def test_upstream_killed_under_load_fails_only_what_was_in_flight(serve, plain):
    stop = threading.Event()
    dying = serve(echo)
    proxy, port = plain([dying.port, serve(echo).port])
    results = []

    def load():
        while not stop.is_set():
            try:
                results.append((time.monotonic(), exchange(port, b"load") == b"load"))
            except OSError:
                results.append((time.monotonic(), False))

    threads = [threading.Thread(target=load, daemon=True) for _ in range(8)]
    for thread in threads:
        thread.start()
    time.sleep(0.5)
    died = time.monotonic()
    dying.close()
    time.sleep(1)
    stop.set()
    for thread in threads:
        thread.join()
    failures = [when for when, good in results if not good]
    assert len(failures) <= 8
    assert all(when < died + 0.5 for when in failures)
    assert len(results) > 100
    eventually(lambda: proxy.active() == 0, what="no connection left")

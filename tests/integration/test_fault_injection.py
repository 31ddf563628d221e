"""Injected faults: what the client sees, what is counted, who may set them, and that no endpoint is blamed."""

import socket
import threading
import time

import pytest

from tests.support.clients import connect, ending, outcome, pattern, seconds, served
from tests.support.processes import eventually
from tests.support.servers import echo, receive_all

NO_BLAME = {"consecutive_failures": 1, "on": ["connect", "reset_before_request", "reset_before_reply", "first_byte_timeout"]}


def faulty(plain, server, faults, **cluster):
    return plain([server.port], {"faults": faults, "outlier_detection": NO_BLAME, **cluster})


def injected(proxy, fault):
    return proxy.metrics().get(f'outrigger_faults_injected_total{{direction="listener",cluster="test",fault="{fault}"}}', 0)


def not_blamed(proxy):
    endpoint = proxy.status()["clusters"][0]["endpoints"][0]
    return endpoint["health"] == "healthy" and endpoint["connect_failures"] == 0 and endpoint["ejections"] == 0


def test_delay_comes_before_the_first_attempt(plain, serve):
    server = serve(echo)
    proxy, port = faulty(plain, server, {"delay": {"percent": "100%", "time": "300ms"}})
    with connect(port) as client:
        client.sendall(b"early")
        time.sleep(0.15)
        assert server.accepted == 0, "nothing is dialled before the delay is over"
        took, reply = seconds(lambda: client.recv(5))
        assert reply == b"early" and took > 0.1
    assert injected(proxy, "delay") == 1 and not_blamed(proxy)


def test_client_that_goes_while_it_is_delayed_is_never_tried(plain, serve):
    server = serve(echo)
    proxy, port = faulty(plain, server, {"delay": {"percent": "100%", "time": "300ms"}})
    client = connect(port)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    client.close()
    eventually(lambda: proxy.ended("test") == {"client_gone": 1}, what="it has ended")
    time.sleep(0.4)
    assert server.accepted == 0


def test_waiting_for_a_place_begins_after_the_delay(plain, serve):
    """Regression: pending_timeout counted from the accept."""
    proxy, port = faulty(plain, serve(echo), {"delay": {"percent": "100%", "time": "600ms"}},
                         circuit_breaker={"max_connections": 1, "pending_timeout": "500ms"})
    first = served(port)
    with connect(port) as second:
        second.sendall(b"y")
        time.sleep(0.8)
        first.close()
        assert second.recv(1) == b"y"


def test_refuse_hits_its_share_and_reaches_no_endpoint(plain, serve):
    server = serve(echo)
    proxy, port = faulty(plain, server, {"refuse": {"percent": "30%"}})
    results = [outcome(port, b"x") for _ in range(400)]
    refused = results.count((b"", "reset"))
    assert 80 <= refused <= 160 and results.count((b"x", "end")) == 400 - refused
    eventually(lambda: proxy.ended("test") == {"completed": 400 - refused, "fault_refuse": refused}, what="all have ended")
    assert injected(proxy, "refuse") == refused and server.accepted == 400 - refused and not_blamed(proxy)
    assert proxy.status()["clusters"][0]["traffic"][0]["retries"] == 0


@pytest.mark.parametrize("after, unit", [(1, "B"), (1000, "B"), (64, "KiB"), (1, "MiB")])
def test_reset_lets_exactly_so_many_bytes_through(plain, serve, after, unit):
    """Download: the client gets every byte up to there, then RST; nothing looks like an end."""
    size = after * {"B": 1, "KiB": 1024, "MiB": 1024 * 1024}[unit]
    data = pattern(4 << 20)
    server = serve(lambda connection: (connection.sendall(data), receive_all(connection), connection.close()))
    proxy, port = faulty(plain, server, {"reset": {"percent": "100%", "after": f"{after}{unit}"}})
    with connect(port) as client:
        got, how = ending(client)
    assert how == "reset" and got == data[:size]
    eventually(lambda: proxy.ended("test") == {"fault_reset": 1}, what="it has ended")
    assert injected(proxy, "reset") == 1 and not_blamed(proxy)


def test_reset_counts_both_directions(plain, serve):
    received = []

    def take(connection):
        try:
            while data := connection.recv(65536):
                received.append(data)
                connection.sendall(data)
        except ConnectionResetError:
            received.append("reset")

    server = serve(take)
    _proxy, port = faulty(plain, server, {"reset": {"percent": "100%", "after": "10B"}})
    with connect(port) as client:
        client.sendall(b"abcd")
        assert client.recv(10) == b"abcd"
        client.sendall(b"efgh")
        assert ending(client) == (b"", "reset")
    eventually(lambda: received == [b"abcd", b"ef", "reset"], what="the upstream sees the same")


def test_reset_after_nothing_is_after_the_connect(plain, serve):
    server = serve(echo)
    proxy, port = faulty(plain, server, {"reset": {"percent": "100%"}}, retry={"replay": "16KiB"})
    assert outcome(port, b"hello") == (b"", "reset")
    eventually(lambda: proxy.ended("test") == {"fault_reset": 1} and server.accepted == 1, what="it has ended")
    assert not_blamed(proxy)


def test_reset_of_a_shorter_stream_does_not_happen(plain, serve):
    server = serve(echo)
    proxy, port = faulty(plain, server, {"reset": {"percent": "100%", "after": "11B"}})
    assert outcome(port, b"hello") == (b"hello", "end")
    assert injected(proxy, "reset") == 0


@pytest.mark.parametrize("upload", [False, True])
def test_bandwidth_holds_each_direction_to_its_rate(plain, serve, upload):
    data = pattern(300_000)
    got = []

    def exchange_all(connection):
        if upload:
            got.append(receive_all(connection))
        else:
            connection.sendall(data)
        connection.close()

    server = serve(exchange_all)
    proxy, port = faulty(plain, server, {"bandwidth": "100KiB"})

    def run():
        with connect(port, timeout=30) as client:
            if upload:
                client.sendall(data)
            client.shutdown(socket.SHUT_WR)
            return ending(client)

    took, (received, how) = seconds(run)
    assert how == "end" and (got[0] if upload else received) == data
    assert 2.6 < took < 4.5, took  # 300000 / 102400 = 2.93 s, less the first bucket
    assert injected(proxy, "bandwidth") == 1
    eventually(lambda: proxy.active() == 0, what="no connection left")


def test_bandwidth_does_not_hold_up_another_connection_or_the_loop(plain, serve):
    server = serve(echo)
    proxy, port = faulty(plain, server, {"bandwidth": "1KiB"})
    slow = [connect(port) for _ in range(50)]
    threads = [threading.Thread(target=lambda client=client: client.sendall(b"x" * 3000)) for client in slow]
    for thread in threads:
        thread.start()
    time.sleep(0.2)
    assert outcome(port, b"a") == (b"a", "end")
    assert proxy.request("GET", "/healthz/live")[0] == 200
    for client in slow:
        client.close()
    for thread in threads:
        thread.join()
    eventually(lambda: proxy.active() == 0, what="no connection left", timeout=10)


def test_faults_are_set_and_cleared_while_it_runs(plain, serve):
    server = serve(echo)
    proxy, port = faulty(plain, server, {"refuse": {"percent": "0%"}})
    before = served(port)
    done = proxy.ctl("fault", "set", "test", "refuse=100%", "delay=50%:1ms", "reset=1.5%:4KiB", "bandwidth=1MiB")
    assert done.returncode == 0
    assert done.stdout == "cluster test: faults: delay=50%:1ms refuse=100% reset=1.5%:4KiB bandwidth=1MiB\n"
    assert outcome(port, b"x") == (b"", "reset")
    assert proxy.status()["clusters"][0]["faults"] == "delay=50%:1ms refuse=100% reset=1.5%:4KiB bandwidth=1MiB"
    assert "FAULTS are injected into cluster test: delay=50%" in proxy.ctl("status").stdout
    assert proxy.metrics()['outrigger_cluster_faults_on{cluster="test"}'] == 1
    assert "cluster test: faults: delay=50%:1ms refuse=100%" in proxy.log()
    before.sendall(b"y")
    assert before.recv(1) == b"y", "connections that were there are left alone"
    done = proxy.ctl("fault", "clear", "test")
    assert (done.returncode, done.stdout) == (0, "cluster test: faults: none\n")
    assert outcome(port, b"x") == (b"x", "end")
    assert proxy.metrics()['outrigger_cluster_faults_on{cluster="test"}'] == 0
    assert "FAULTS" not in proxy.ctl("status").stdout
    before.close()


def test_clear_goes_back_to_the_configured_faults_and_set_of_nothing_turns_them_off(plain, serve):
    server = serve(echo)
    proxy, port = faulty(plain, server, {"refuse": {"percent": "100%"}})
    assert "cluster test: faults: refuse=100%" in proxy.log(), "a start with faults says so"
    assert proxy.ctl("fault", "set", "test").stdout == "cluster test: faults: none\n"
    assert outcome(port, b"x") == (b"x", "end")
    assert proxy.ctl("fault", "clear", "test").stdout == "cluster test: faults: refuse=100%\n"
    assert outcome(port, b"x") == (b"", "reset")


@pytest.mark.parametrize("words, code, expected", [
    (["set", "tset", "refuse=1%"], 1, 'no cluster is named "tset"; did you mean "test"?'),
    (["set", "test", "refuse=101%"], 1, "refuse.percent: "),
    (["set", "test", "delay=5%:soon"], 1, '"soon" is not a duration'),
    (["set", "test", "delay=5%"], 1, "delay: percent and time belong together"),
    (["set", "test", "bandwidth=fast"], 1, '"fast" is not a size'),
    (["set", "test", "refus=1%"], 2, 'there is no such fault: "refus=1%"; allowed: delay=PERCENT:TIME'),
    (["set", "test", "refuse"], 2, 'this is not understood: "refuse"'),
    (["set", "test", "refuse=1%:2"], 2, "one value is too many"),
    (["set", "test", "refuse=\"1%"], 2, "not understood"),
    (["set", "a b", "refuse=1%"], 2, "is not the name of a cluster"),
    (["set"], 2, "write `fault set CLUSTER FAULT...`"),
    (["clear", "test", "refuse=1%"], 2, "write `fault set"),
    (["show", "test"], 2, "write `fault set"),
    ([], 2, "write `fault set"),
    (["set", "test", *[f"reset=1%:{'1' * 90}" for _ in range(10)]], 2, "too long"),
])
def test_what_is_wrong_is_told_and_changes_nothing(plain, serve, words, code, expected):
    server = serve(echo)
    proxy, port = plain([server.port])
    done = proxy.ctl("fault", *words)
    assert done.returncode == code and expected in done.stderr, done
    assert outcome(port, b"x") == (b"x", "end")


def test_the_request_takes_yaml_and_json_and_is_for_who_may_change_things(plain, serve):
    server = serve(echo)
    proxy, _port = plain([server.port])
    for body in ('{"refuse": {"percent": "5%"}}', "refuse: {percent: 5%}", "refuse:\n  percent: 5%\n"):
        status, text = proxy.request("POST", "/faults/test", body=body)
        assert (status, text) == (200, "cluster test: faults: refuse=5%\n")
    status, text = proxy.request("POST", "/faults/test", body="refuse: {percnt: 5%}")
    assert status == 400 and 'unknown key "percnt"; did you mean "percent"?' in text
    status, text = proxy.request("POST", "/faults/test", body="- 1")
    assert status == 400 and "expected a mapping" in text
    status, _ = proxy.request("POST", "/faults/test", body="\0\0")
    assert status == 400
    assert proxy.request("GET", "/faults/test")[0] == 405
    assert proxy.request("POST", "/faults/")[0] == 404
    assert proxy.status()["clusters"][0]["faults"] == "refuse=5%"
    assert proxy.request("DELETE", "/faults/test") == (200, "cluster test: faults: none\n")


def test_another_uid_may_not_set_faults(plain, serve):
    server = serve(echo)
    proxy, _port = plain([server.port], control={"allow": {"all": [4242], "read": ["any"]}})
    for method in ("POST", "DELETE"):
        assert proxy.request(method, "/faults/test", body="{}")[0] == 403

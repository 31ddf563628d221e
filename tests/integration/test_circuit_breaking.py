"""Waiting for a place, budgets for retries, ejection with one trial: local limits never count against an endpoint."""

import contextlib
import socket
import threading
import time

from tests.support.clients import connect, ending, exchange, outcome, served
from tests.support.processes import eventually
from tests.support.servers import echo, free_port, reset


def health(proxy):
    return [endpoint["health"] for endpoint in cluster(proxy)["endpoints"]]


def cluster(proxy):
    return next(each for each in proxy.status()["clusters"] if each["name"] == "test")


def test_waiters_get_free_places_in_turn(serve, plain):
    order = []

    def note(connection):
        while data := connection.recv(100):
            order.append(data)
            connection.sendall(data)
        connection.close()

    proxy, port = plain([serve(note).port], {"circuit_breaker": {"max_connections": 1, "pending_timeout": "10s"}}, workers=3)
    first = served(port)

    def wait(number):
        assert exchange(port, b"%d" % number) == b"%d" % number

    threads = []
    for number in range(6):
        threads.append(threading.Thread(target=wait, args=(number,)))
        threads[-1].start()
        eventually(lambda: cluster(proxy)["pending"] == number + 1, what="waiting")
    assert cluster(proxy)["active"] == 1
    first.close()
    for thread in threads:
        thread.join(10)
    assert order == [b"x", *(b"%d" % number for number in range(6))]
    eventually(lambda: cluster(proxy)["active"] == 0 and proxy.ended("test") == {"completed": 7}, what="the account")


def test_pending_limit_and_timeout_are_named_and_no_fault_of_the_endpoint(serve, plain):
    proxy, port = plain([serve(echo).port], {"circuit_breaker": {"max_connections": 1, "max_pending": 1, "pending_timeout": "500ms"},
                                             "outlier_detection": {"consecutive_failures": 1, "max_ejected": "100%"}})
    first = served(port)
    waiting = connect(port)
    eventually(lambda: cluster(proxy)["pending"] == 1, what="waiting")
    assert outcome(port, b"x") == (b"", "reset")  # the second that waits is one too many
    assert ending(waiting) == (b"", "reset")  # after 500 ms
    eventually(lambda: proxy.ended("test") == {"circuit_breaker": 1, "pending_timeout": 1}, what="the account")
    assert health(proxy) == ["healthy"] and cluster(proxy)["pending_overflows"] == 1
    first.close()
    eventually(lambda: cluster(proxy)["active"] == 0, what="a free place")
    assert exchange(port, b"again") == b"again"


def test_client_that_goes_while_it_waits_leaves_the_queue(serve, plain):
    proxy, port = plain([serve(echo).port], {"circuit_breaker": {"max_connections": 1, "pending_timeout": "10s"}}, workers=2)
    first = served(port)
    for _ in range(20):
        waiting = connect(port)
        waiting.setsockopt(1, 13, b"\1\0\0\0\0\0\0\0")  # SO_LINGER: reset
        waiting.close()
    eventually(lambda: proxy.ended("test") == {"client_gone": 20}, what="all gone")
    assert cluster(proxy)["pending"] == 0
    first.close()
    eventually(lambda: cluster(proxy)["active"] == 0, what="a free place")
    assert exchange(port, b"again") == b"again"


def test_bytes_and_end_of_a_client_that_waits_are_not_lost(serve, plain):
    _, port = plain([serve(echo).port], {"circuit_breaker": {"max_connections": 1, "pending_timeout": "10s"}})
    first, results = served(port), []
    threads = [threading.Thread(target=lambda: results.append(exchange(port, b"z" * 100000))) for _ in range(5)]
    for thread in threads:
        thread.start()
    time.sleep(0.3)
    first.close()
    for thread in threads:
        thread.join(10)
    assert results == [b"z" * 100000] * 5


def test_limit_holds_under_a_storm(serve, plain):
    """A limit of 5 is 5 over all workers, and everybody is served in the end."""
    lock, now, most = threading.Lock(), [0], [0]

    def count(connection):
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        data = connection.recv(100)
        with lock:
            now[0] -= 1
        connection.sendall(data)
        connection.close()

    proxy, port = plain([serve(count).port], {"circuit_breaker": {"max_connections": 5, "pending_timeout": "20s"}}, workers=4)
    results = []

    def ask():
        for _ in range(20):
            with connect(port, timeout=30) as client:
                client.sendall(b"hello")
                results.append(ending(client))

    threads = [threading.Thread(target=ask, daemon=True) for _ in range(30)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert results == [(b"hello", "end")] * 600
    assert most[0] <= 5
    eventually(lambda: cluster(proxy)["active"] == 0 and cluster(proxy)["pending"] == 0, what="nothing is left")


def test_retries_stop_at_the_budget(plain):
    proxy, port = plain([free_port()], {"retry": {"attempts": 10, "backoff": {"base": "1ms", "max": "1ms"},
                                                  "budget": {"percent": "20%", "min_per_second": 0, "burst": 10}}})
    for _ in range(50):
        assert outcome(port) == (b"", "reset")
    traffic = proxy.traffic("test", "listener")
    assert 10 + 50 // 5 - 1 <= traffic["retries"] <= 10 + 50 // 5  # what the first one earns finds the budget full
    assert cluster(proxy)["retry_overflows"] > 0
    eventually(lambda: proxy.ended("test") == {"connect_refused": 50}, what="the account")


def test_max_retries_limits_those_under_way(serve, plain):
    proxy, port = plain([free_port()], {"retry": {"attempts": 50, "backoff": {"base": "200ms", "max": "200ms"}, "budget": {"burst": 1000}},
                                        "circuit_breaker": {"max_retries": 2}})
    clients = []
    for _ in range(10):  # some are reset before connect() would return
        clients.append(socket.socket())
        clients[-1].setblocking(False)
        clients[-1].connect_ex(("127.0.0.1", port))
    eventually(lambda: sum(proxy.ended("test").values()) == 8, what="all but two ended")
    assert proxy.active() == 2 and cluster(proxy)["retry_overflows"] == 8
    for client in clients:
        client.close()
    eventually(lambda: proxy.active() == 0, what="gone")


EJECTING = {"consecutive_failures": 3, "base_ejection": "1s", "max_ejection": "8s"}


def test_endpoint_that_refuses_is_ejected_and_others_serve(serve, plain):
    proxy, port = plain([free_port(), serve(echo).port], {"outlier_detection": EJECTING})
    for _ in range(20):
        assert exchange(port, b"x") == b"x"
    traffic = proxy.traffic("test", "listener")
    assert traffic["retries"] == 3 and health(proxy) == ["ejected", "healthy"]
    assert "is ejected for 1" in proxy.log() and "too many failures in a row" in proxy.log()
    assert proxy.metrics()['outrigger_cluster_ejections_total{cluster="test"}'] == 1


def test_one_trial_fails_and_the_ejection_doubles(serve, plain):
    proxy, port = plain([free_port(), serve(echo).port], {"outlier_detection": EJECTING}, workers=2)
    begun = time.monotonic()
    while time.monotonic() - begun < 5.5:
        assert exchange(port, b"x") == b"x"
    # 3 failures; trials after 1 to 1.1 s, and after 2 to 2.2 s more; the third ejection lasts until 7 s.
    assert proxy.traffic("test", "listener")["connect_failures"]["refused"] == 5
    assert health(proxy) == ["ejected", "healthy"]


def test_trial_that_succeeds_brings_the_endpoint_back(serve, plain):
    port_upstream = free_port()
    proxy, port = plain([port_upstream, serve(echo).port], {"outlier_detection": EJECTING})
    for _ in range(6):
        assert exchange(port, b"x") == b"x"
    assert health(proxy) == ["ejected", "healthy"]
    back = serve(echo, port=port_upstream)
    eventually(lambda: exchange(port, b"x") == b"x" and back.accepted > 0, timeout=3, what="the trial")
    eventually(lambda: health(proxy) == ["healthy", "healthy"], what="back")
    assert "its trial succeeded" in proxy.log()


def test_trial_is_one_connection_and_the_others_go_elsewhere(serve, plain):
    """While the trial is open (the endpoint accepts and says nothing), nobody else goes there."""
    port_upstream = free_port()
    proxy, port = plain([port_upstream, serve(echo).port], {"outlier_detection": {**EJECTING, "base_ejection": "2s"}}, workers=4)
    for _ in range(6):
        exchange(port, b"x")
    silent = serve(lambda connection: connection.recv(1) and connection.recv(1), port=port_upstream)
    time.sleep(2.3)
    trial = connect(port)
    eventually(lambda: silent.accepted == 1, what="the trial")
    assert health(proxy)[0] == "trial"
    for _ in range(20):
        assert exchange(port, b"x") == b"x"
    assert silent.accepted == 1
    trial.close()


def test_accepting_and_resetting_ejects_before_a_request_but_not_after_it_by_default(serve, plain):
    def reset_at_once(connection):
        time.sleep(0.02)
        reset(connection)

    proxy, port = plain([serve(reset_at_once).port, serve(lambda c: (c.sendall(b"banner"), c.close())).port], {"outlier_detection": EJECTING})
    for _ in range(10):
        with connect(port) as client:
            assert ending(client) == (b"banner", "end")
    assert health(proxy) == ["ejected", "healthy"]

    def reset_after_request(connection):
        connection.recv(10)
        reset(connection)

    proxy, port = plain([serve(reset_after_request).port, serve(echo).port], {"outlier_detection": EJECTING})
    for _ in range(20):
        outcome(port, b"hostile")
    assert health(proxy) == ["healthy", "healthy"]
    proxy, port = plain([serve(reset_after_request).port, serve(echo).port],
                        {"outlier_detection": {**EJECTING, "on": ["connect", "reset_before_reply"]}})
    for _ in range(20):
        outcome(port, b"hostile")
    assert health(proxy) == ["ejected", "healthy"]


def test_no_more_than_max_ejected_leave_and_panic_uses_all(plain):
    proxy, port = plain([free_port() for _ in range(4)], {"outlier_detection": {**EJECTING, "base_ejection": "1m", "max_ejection": "1m"},
                                                          "retry": {"budget": {"burst": 1000}}})
    for _ in range(40):
        assert outcome(port) == (b"", "reset")
    assert sorted(health(proxy)) == ["ejected", "ejected", "healthy", "healthy"]
    before = proxy.traffic("test", "listener")["connect_failures"]["refused"]
    outcome(port)
    assert proxy.traffic("test", "listener")["connect_failures"]["refused"] > before  # still tried


def test_first_byte_timeout_goes_to_another_endpoint_or_is_named(serve, plain):
    def silent(connection):
        time.sleep(2)

    proxy, port = plain([serve(silent).port, serve(lambda c: (c.sendall(b"banner"), c.close())).port], {"timeouts": {"first_byte": "200ms"}})
    for _ in range(4):
        with connect(port) as client:
            assert ending(client) == (b"banner", "end")
    assert proxy.traffic("test", "listener")["connect_failures"] == {"first_byte_timeout": 2}
    proxy, port = plain([serve(silent).port], {"timeouts": {"first_byte": "200ms"}})
    begun = time.monotonic()
    assert outcome(port, b"request") == (b"", "reset")
    assert 0.15 < time.monotonic() - begun < 1
    eventually(lambda: proxy.ended("test") == {"first_byte_timeout": 1}, what="the account")


def test_first_byte_timeout_with_replay_sends_the_request_again(serve, plain):
    proxy, port = plain([serve(lambda connection: time.sleep(2)).port, serve(echo).port],
                        {"timeouts": {"first_byte": "200ms"}, "retry": {"replay": "16KiB"}})
    for _ in range(4):
        assert exchange(port, b"once more") == b"once more"
    assert proxy.traffic("test", "listener")["retries"] == 2


def test_max_duration_ends_idle_and_busy_connections_with_jitter(serve, plain):
    proxy, port = plain([serve(echo).port], {"timeouts": {"max_duration": "1s"}})
    lasted = []

    def last(busy):
        begun = time.monotonic()
        with connect(port) as client:
            with contextlib.suppress(OSError):  # the reset that is waited for; `lasted` and the account judge it
                while busy:
                    client.sendall(b"x")
                    client.recv(1)
                ending(client)
        lasted.append(time.monotonic() - begun)

    threads = [threading.Thread(target=last, args=(number % 2 == 0,)) for number in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert all(0.85 < each < 1.4 for each in lasted), lasted
    eventually(lambda: proxy.ended("test") == {"max_duration": 10}, what="the account")


def test_trial_that_fails_in_another_way_is_not_repeated_at_once(serve, plain):
    """Regression: a reset after the request is no failure by default, so every further connection was made the trial's successor."""
    port_upstream = free_port()
    proxy, port = plain([port_upstream, serve(echo).port], {"outlier_detection": EJECTING})
    for _ in range(6):
        assert exchange(port, b"x") == b"x"
    assert health(proxy) == ["ejected", "healthy"]
    bad = serve(lambda connection: (connection.recv(10), reset(connection)), port=port_upstream)
    time.sleep(1.2)
    assert [outcome(port, b"x") for _ in range(10)].count((b"x", "end")) == 9
    assert bad.accepted == 1 and health(proxy) == ["ejected", "healthy"]


def test_clients_that_say_nothing_do_not_eject_at_the_first_byte_timeout(serve, plain):
    """Regression: silence on both sides counted against endpoints that only wait for the client."""
    proxy, port = plain([serve(echo).port, serve(echo).port], {"timeouts": {"first_byte": "100ms"}, "retry": {"attempts": 1},
                                                               "outlier_detection": {**EJECTING, "consecutive_failures": 1}})
    for client in [connect(port) for _ in range(6)]:
        assert ending(client) == (b"", "reset")
    assert health(proxy) == ["healthy", "healthy"]
    proxy, port = plain([serve(lambda connection: time.sleep(1)).port, serve(echo).port],
                        {"timeouts": {"first_byte": "100ms"}, "outlier_detection": {**EJECTING, "on": ["first_byte_timeout"]}})
    for _ in range(8):
        outcome(port, b"x")
    assert health(proxy) == ["ejected", "healthy"]

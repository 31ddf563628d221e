"""Which endpoint gets a connection, through the real binary: exact turns, weights, priorities, zones, hashing."""

import collections
import socket
import time

import pytest

from tests.support.clients import connect, exchange, outcome
from tests.support.servers import free_port


@pytest.fixture
def named(serve):
    """Servers that say their number; returns the ports."""
    def make(count):
        return [serve(lambda connection, number=number: (connection.sendall(str(number).encode()), connection.close())).port
                for number in range(count)]
    return make


def answers(port, count, source=None):
    """Who answered, in order."""
    said = []
    for _ in range(count):
        with socket.create_connection(("127.0.0.1", port), timeout=5, source_address=(source, 0) if source else None) as connection:
            said.append(int(connection.recv(10)))
    return said


@pytest.mark.parametrize("workers", [1, 4])
def test_round_robin_is_an_exact_rotation_over_all_workers(named, plain, workers):
    _, port = plain(named(3), {"load_balancing": {"policy": "round_robin"}}, workers=workers)
    assert answers(port, 60) == [0, 1, 2] * 20


def test_round_robin_by_weight(named, plain):
    ports = named(3)
    _, port = plain([{"address": f"127.0.0.1:{ports[0]}", "weight": 3}, ports[1], {"address": f"127.0.0.1:{ports[2]}", "weight": 2}])
    assert collections.Counter(answers(port, 60)) == {0: 30, 1: 10, 2: 20}


def test_random_reaches_every_endpoint_by_weight(named, plain):
    ports = named(2)
    _, port = plain([ports[0], {"address": f"127.0.0.1:{ports[1]}", "weight": 3}], {"load_balancing": {"policy": "random"}})
    counted = collections.Counter(answers(port, 400))
    assert 60 < counted[0] < 140


def test_least_connections_leaves_a_slow_endpoint_alone(serve, named, plain):
    def slow(connection):
        connection.sendall(b"9")
        connection.recv(10)  # until the client goes

    ports = [serve(slow).port, *named(1)]
    _, port = plain(ports, {"load_balancing": {"policy": "least_connections"}})
    held = []
    while not held:  # one stays at the slow one
        connection = connect(port)
        if connection.recv(1) == b"9":
            held.append(connection)
    counted = collections.Counter(answers(port, 100))
    assert counted[0] >= 90  # the last one there may not have ended yet when the next is accepted
    for connection in held:
        connection.close()


def test_source_hash_keeps_a_client_and_spreads_clients(named, plain):
    ports = named(4)
    _, port = plain(ports, {"load_balancing": {"policy": "source_hash"}})
    chosen = {host: answers(port, 5, f"127.0.0.{host}") for host in range(2, 60)}
    assert all(len(set(said)) == 1 for said in chosen.values())
    counted = collections.Counter(said[0] for said in chosen.values())
    assert set(counted) == {0, 1, 2, 3} and max(counted.values()) < 30


def test_source_hash_moves_only_the_share_of_a_lost_endpoint(serve, named, plain):
    ports = named(3)
    before = plain(ports, {"load_balancing": {"policy": "source_hash"}})[1]
    lost = free_port()  # refuses
    chosen = {host: answers(before, 1, f"127.0.0.{host}")[0] for host in range(2, 60)}
    # The hash is of the addresses: the same list again, with one that refuses in addition, keeps the others' clients.
    after = plain([*ports, lost], {"load_balancing": {"policy": "source_hash"}})[1]
    assert {host: answers(after, 1, f"127.0.0.{host}")[0] for host in range(2, 60)} == chosen


def test_lower_priority_serves_only_when_the_first_do_not(serve, named, plain):
    backup, primary_port = named(1)[0], free_port()
    proxy, port = plain([{"address": f"127.0.0.1:{backup}", "priority": 1}, primary_port],
                        {"outlier_detection": {"consecutive_failures": 2, "base_ejection": "500ms", "max_ejected": "100%"}})
    assert answers(port, 5) == [0] * 5  # the first priority refuses; two failures eject it
    assert proxy.traffic("test", "listener")["retries"] == 2
    serve(lambda connection: (connection.sendall(b"7"), connection.close()), port=primary_port)
    time.sleep(0.6)
    assert answers(port, 3) == [7] * 3


def test_own_zone_first_then_the_others(named, plain):
    ports = named(3)
    endpoints = [{"address": f"127.0.0.1:{ports[0]}", "zone": "a"}, {"address": f"127.0.0.1:{ports[1]}", "zone": "b"},
                 {"address": f"127.0.0.1:{free_port()}", "zone": "b"}]
    proxy, port = plain(endpoints, {"load_balancing": {"zone_aware": True, "policy": "round_robin"},
                                    "outlier_detection": {"consecutive_failures": 0}}, zone="b")
    assert answers(port, 10) == [1] * 10
    assert proxy.traffic("test", "listener")["retries"] == 5


def test_choice_is_quick_with_a_thousand_endpoints_that_all_refuse(plain):
    """Bounded time when every endpoint is down."""
    endpoints = [f"127.0.1.{number // 250}:{10000 + number}" for number in range(1000)]
    proxy, port = plain(endpoints, {"retry": {"attempts": 100, "budget": {"burst": 100000}},
                                    "load_balancing": {"policy": "least_connections"}})
    begun = time.monotonic()
    for _ in range(20):
        assert outcome(port) == (b"", "reset")
    assert time.monotonic() - begun < 5
    assert proxy.traffic("test", "listener")["connect_failures"] == {"refused": 2000}


def test_exchange_works_with_the_default_policy(serve, start):
    from tests.support.servers import echo
    port, upstream = free_port(), serve(echo).port
    start({"listeners": [{"name": "l", "address": f"127.0.0.1:{port}", "cluster": "c"}],
           "clusters": [{"name": "c", "endpoints": [{"address": f"127.0.0.1:{upstream}"}]}]})
    assert exchange(port, b"x") == b"x"

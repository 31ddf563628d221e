"""Which cluster a captured connection belongs to: hosts that are resolved and kept fresh, and server names of TLS.

Each cluster has an endpoint of its own that says who it is, so that what answers tells which match decided.
"""

import shutil
import socket
import ssl
import threading
import time

import pytest

from tests.support.clients import connect, ending
from tests.support.dns import NameServer
from tests.support.processes import eventually
from tests.support.servers import Server, receive_all

CLIENT, SERVER = "10.78.0.1", "10.78.0.2"
APP = 1000


def hello(name, **options):
    """What a real TLS client sends first."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    for key, value in options.items():
        setattr(context, key, value)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = context.wrap_bio(incoming, outgoing, server_hostname=name)
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    return outgoing.read()


@pytest.fixture
def routed(pods, start, programs, tmp_path):
    """Makes a captured namespace whose clusters answer with their names, and a function that asks from the app."""
    space, far = pods
    servers = []

    def speak(name, greets=False):
        def serve(connection):
            if greets:
                connection.sendall(f"{name}\n".encode())
            data = receive_all(connection)
            if not greets:
                connection.sendall(f"{name}:".encode() + data)
            connection.close()
        return serve

    def make(matches, unmatched="passthrough", greets=(), **config):
        clusters = []
        for name, (match, options) in matches.items():
            server = space.inside(lambda name=name: Server(speak(name, name in greets)))
            servers.append(server)
            clusters.append({"name": name, "match": match, "endpoints": [{"address": f"127.0.0.1:{server.port}"}], **options})
        space.run([f"{programs}/outrigger-init"])
        return start({"intercept": {"outbound": {"unmatched": unmatched, "inspect_delay": "500ms"}}, "clusters": clusters,
                      "health": {"port": 15021}, "drain": {"timeout": "500ms"}, **config}, namespace=space, uid=1337)

    def ask(host, port, data=b"", chunks=None, pause=0.0):
        def inside():
            with connect(port, host) as client:
                try:
                    for chunk in chunks or [data]:
                        client.sendall(chunk)
                        time.sleep(pause)
                    client.shutdown(socket.SHUT_WR)
                except OSError:  # it was refused meanwhile
                    return b"", "reset"
                return ending(client)
        got, how = space.inside(inside)
        return got.decode("latin1").split(":", 1)[0] if how == "end" else how

    make.ask, make.space, make.far = ask, space, far
    yield make
    for server in servers:
        server.close()


def simple(**match):
    return ([match], {})


def test_server_names_decide_exact_then_the_longest_wildcard_then_none(routed):
    make = routed
    proxy = make({"exact": simple(sni="api.example", ports=443), "wide": simple(sni="*.example", ports=443),
                  "narrow": simple(sni="*.api.example", ports=443), "rest": simple(addresses="0.0.0.0/0", ports="400-500"),
                  "nearer": simple(addresses="192.0.2.0/24", ports="443")})
    cases = {"api.example": "exact", "API.Example": "exact", "www.example": "wide", "a.b.example": "wide", "x.api.example": "narrow",
             "a.b.api.example": "narrow", "example": "rest", "other.invalid": "rest"}
    for name, cluster in cases.items():
        assert make.ask("198.51.100.1", 443, hello(name)) == cluster, name
        assert make.ask("192.0.2.1", 443, hello(name)) == "nearer", "the longest prefix comes before any name"
        assert make.ask("198.51.100.1", 444, hello(name)) == "rest", "no rule asks for a name there"
    assert make.ask("198.51.100.1", 443, hello(None)) == "rest"
    assert make.ask("198.51.100.1", 443, b"GET / HTTP/1.1\r\n\r\n") == "rest"
    assert proxy.active() == 0


def test_the_client_hello_is_passed_on_whole(routed):
    make = routed
    make({"named": simple(sni="api.example", ports=443)})
    first = hello("api.example")
    follows = bytes(range(256)) * 500  # more than is looked at

    def inside():
        with connect(443, "198.51.100.1") as client:
            client.sendall(first + follows)
            client.shutdown(socket.SHUT_WR)
            return ending(client)

    assert make.space.inside(inside) == (b"named:" + first + follows, "end")


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_hello_in_single_bytes_is_understood(routed, version):
    make = routed
    make({"named": simple(sni="api.example", ports=443), "rest": simple(addresses="0.0.0.0/0", ports=443)})
    data = hello("api.example", maximum_version=version)
    assert make.ask("198.51.100.1", 443, chunks=[data[i:i + 1] for i in range(150)] + [data[150:]], pause=0.001) == "named"
    # One that never becomes whole, and one that ends too early.
    assert make.ask("198.51.100.1", 443, data[:100]) == "rest"


def test_a_client_that_says_nothing_has_no_name_after_inspect_delay(routed):
    """As the clients of servers that speak first."""
    make = routed
    make({"named": simple(sni="api.example", ports=443), "rest": simple(addresses="0.0.0.0/0", ports=443)}, greets=["rest"])

    def inside():
        begun = time.monotonic()
        with connect(443, "198.51.100.1") as client:
            greeting = client.recv(100)
            return greeting, time.monotonic() - begun

    greeting, took = make.space.inside(inside)
    assert greeting == b"rest\n" and 0.4 < took < 1.5


def test_a_client_that_is_gone_while_it_is_looked_at_leaves_nothing(routed):
    make = routed
    proxy = make({"named": simple(sni="api.example", ports=443)})
    data = hello("api.example")

    def inside():
        for length in (0, 10, len(data)):
            with connect(443, "198.51.100.1") as client:
                client.sendall(data[:length])
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")

    make.space.inside(inside)
    eventually(lambda: proxy.traffic("passthrough", "outbound")["ended"].get("client_gone", 0) >= 2, what="the accounts")
    eventually(lambda: proxy.active() == 0, what="no connection left")


def test_unmatched_refuse_also_refuses_the_wrong_name(routed):
    make = routed
    make({"named": simple(sni="api.example", ports=443)}, unmatched="refuse")
    assert make.ask("198.51.100.1", 443, hello("api.example")) == "named"
    assert make.ask("198.51.100.1", 443, hello("other.example")) == "reset"


def test_a_thousand_slow_hellos_do_not_hold_up_others(routed):
    make = routed
    proxy = make({"named": simple(sni="api.example", ports=443), "rest": simple(addresses="0.0.0.0/0", ports=443)})
    data = hello("api.example")

    def inside():
        slow = [connect(443, "198.51.100.1") for _ in range(1000)]
        for client in slow:
            client.sendall(data[:50])
        begun = time.monotonic()
        with connect(443, "198.51.100.1") as client:
            client.sendall(data)
            client.shutdown(socket.SHUT_WR)
            took = ending(client), time.monotonic() - begun
        for client in slow:
            client.close()
        return took

    (got, _), took = make.space.inside(inside)
    assert got.startswith(b"named:") and took < 0.4
    eventually(lambda: proxy.active() == 0, what="no connection left", timeout=10)


needs_dns = pytest.mark.skipif(not shutil.which("dnsmasq"), reason="dnsmasq is not installed")


@pytest.fixture
def names(routed, tmp_path):
    """A name server beside the app."""
    made = []

    def make(records):
        made.append(routed.space.inside(lambda: NameServer(tmp_path / "names", records)))
        return made[0]

    yield make
    for each in made:
        each.stop()


def dns(server):
    return {"servers": [{"address": f"127.0.0.1:{server.port}"}], "timeout": "200ms", "attempts": 2}


@needs_dns
def test_hosts_match_all_their_addresses_and_old_ones_go_on(routed, names):
    make = routed
    server = names({"pg.test": ["203.0.113.1", "203.0.113.2", "2001:db8::1"], "other.test": ["203.0.113.9"]})
    proxy = make({"pg": simple(hosts="pg.test", ports=5432), "block": simple(addresses=["203.0.113.0/24", "2001:db8::/32"])},
                 dns=dns(server))
    eventually(lambda: make.ask("203.0.113.1", 5432) == "pg", what="the name is known")
    for host in ("203.0.113.2", "2001:db8::1"):
        assert make.ask(host, 5432) == "pg"
    assert make.ask("203.0.113.1", 5433) == "block" and make.ask("203.0.113.3", 5432) == "block"
    server.change({"pg.test": ["203.0.113.3"]})
    eventually(lambda: make.ask("203.0.113.3", 5432) == "pg", what="its new address matches", timeout=10)
    assert make.ask("203.0.113.1", 5432) == "pg", "an app may have kept the old address"
    server.stop()
    time.sleep(2)
    assert make.ask("203.0.113.3", 5432) == "pg", "the name server is gone, the last addresses stay"
    assert proxy.active() == 0


@needs_dns
def test_hosts_that_tie_take_the_order_of_the_file_and_count(routed, names):
    make = routed
    server = names({"a.test": ["203.0.113.1"], "b.test": ["203.0.113.1", "203.0.113.2"]})
    proxy = make({"first": simple(hosts="a.test", ports=80), "second": simple(hosts="b.test", ports=80)}, unmatched="refuse",
                 dns=dns(server))
    eventually(lambda: make.ask("203.0.113.2", 80) == "second" and make.ask("203.0.113.1", 80) == "first", what="both are known")
    assert proxy.metrics()["outrigger_match_ties"] == 1


@needs_dns
def test_routes_that_change_under_load_lose_no_connection(routed, names):
    make = routed
    addresses = [f"203.0.113.{i}" for i in range(1, 40)]
    server = names({"pg.test": ["203.0.113.1"]})
    proxy = make({"pg": simple(hosts="pg.test", ports=5432), "block": simple(addresses="203.0.113.0/24")}, dns=dns(server))
    eventually(lambda: make.ask("203.0.113.1", 5432) == "pg", what="the name is known")
    wrong, ended = [], threading.Event()

    def load():
        while not ended.is_set():
            for host in ("203.0.113.1", "203.0.113.200"):
                got = make.ask(host, 5432)
                if got != ("pg" if host == "203.0.113.1" else "block"):
                    wrong.append(got)

    threads = [threading.Thread(target=load, daemon=True) for _ in range(4)]
    for thread in threads:
        thread.start()
    for i in range(2, 12):
        server.change({"pg.test": ["203.0.113.1", *addresses[:i]]})
        time.sleep(0.3)
    ended.set()
    for thread in threads:
        thread.join()
    assert not wrong
    assert proxy.traffic("pg", "outbound")["opened"] > 50


@needs_dns
def test_an_address_belongs_to_the_name_that_has_it_now(routed, names):
    """Regression: an address that had moved to another name went on belonging to the first in the file."""
    make = routed
    server = names({"a.test": ["203.0.113.1"], "b.test": ["203.0.113.2"]})
    proxy = make({"a": simple(hosts="a.test", ports=80), "b": simple(hosts="b.test", ports=80)}, unmatched="refuse", dns=dns(server))
    eventually(lambda: make.ask("203.0.113.2", 80) == "b" and make.ask("203.0.113.1", 80) == "a", what="both are known")
    server.change({"a.test": ["203.0.113.9"], "b.test": ["203.0.113.1"]})
    eventually(lambda: make.ask("203.0.113.1", 80) == "b", what="it has moved", timeout=8)
    assert make.ask("203.0.113.2", 80) == "b", "which nobody else has now"
    eventually(lambda: make.ask("203.0.113.9", 80) == "a", what="the other's new address", timeout=8)
    assert proxy.metrics()["outrigger_match_ties"] == 0


def test_waiting_for_a_place_begins_after_the_look(routed):
    """Regression: pending_timeout counted from the accept, and inspect_delay had used it up."""
    make = routed
    make({"named": simple(sni="api.example", ports=443),
          "rest": ([{"addresses": "0.0.0.0/0", "ports": 443}], {"circuit_breaker": {"max_connections": 1, "pending_timeout": "400ms"}})},
         greets=["rest"])

    def inside():
        with connect(443, "198.51.100.1") as first:
            assert first.recv(9)
            begun = time.monotonic()
            with connect(443, "198.51.100.1") as second:
                return ending(second)[1], time.monotonic() - begun

    how, took = make.space.inside(inside)
    assert how == "reset" and 0.85 < took < 1.5

"""
The mesh hop tells the truth: the dialling sidecar learns what became of the app's connection, and acts on it as if it had dialled
the app itself. Who may reach the app is decided before anything of it is dialled.
"""

import json
import struct
import threading
import time

import pytest

from tests.support.clients import ending, linger_zero
from tests.support.mesh import APP, SERVER, WEB, tls_context
from tests.support.processes import eventually
from tests.support.servers import Server, echo

CONNECTED, REFUSED, DENIED, OVERLOADED, FAILED = (struct.pack("B", n) for n in (0, 1, 4, 5, 6))
OTHER = "spiffe://cluster.local/ns/shop/sa/other"


@pytest.mark.parametrize("mode", ["strict", "permissive"])
def test_an_app_that_is_not_there(mesh, mode):
    b = mesh.start_b(mesh.config_b(mode))
    a = mesh.start_a()
    assert mesh.status() == REFUSED
    assert mesh.ask() == "reset"
    eventually(lambda: a.ended("app") == {"connect_refused": 1}, what="the cause")
    assert a.traffic("app", "listener")["connect_failures"] == {"refused": 1}
    b.expect_ended({"connect_refused": 2}, "inbound", "inbound")
    if mode == "permissive":
        with mesh.raw() as plain:
            assert ending(plain) == (b"", "reset")
        b.expect_ended({"connect_refused": 3}, "inbound", "inbound")


def test_the_next_endpoint_is_tried(mesh):
    """The first endpoint's sidecar is there, its app is not; the client never knows."""
    mesh.serve(port=8081)
    mesh.start_b()
    a = mesh.start_a(mesh.config_a(cluster={"endpoints": [{"address": f"{SERVER}:8080"}, {"address": f"{SERVER}:8081"}],
                                            "load_balancing": {"policy": "round_robin"}, "retry": {"attempts": 2}}))
    for _ in range(4):
        assert mesh.ask() == b"x"
    assert a.traffic("app", "listener")["retries"] >= 2
    assert a.traffic("app", "listener")["connect_failures"] == {"refused": a.traffic("app", "listener")["retries"]}


def test_the_endpoint_whose_app_is_gone_is_ejected(mesh):
    mesh.serve(port=8081)
    mesh.start_b()
    a = mesh.start_a(mesh.config_a(cluster={"endpoints": [{"address": f"{SERVER}:8080"}, {"address": f"{SERVER}:8081"}],
                                            "load_balancing": {"policy": "round_robin"}, "retry": {"attempts": 2},
                                            "outlier_detection": {"consecutive_failures": 2}}))
    for _ in range(8):
        assert mesh.ask() == b"x"
    health = {each["address"]: each["health"] for each in a.status()["clusters"][0]["endpoints"]}
    assert health == {f"{SERVER}:8080": "ejected", f"{SERVER}:8081": "healthy"}


def test_limits_of_the_other_side_are_told(mesh):
    mesh.serve()
    mesh.start_b(mesh.config_b(ports=[{"ports": [8080], "cluster": {"circuit_breaker": {"max_connections": 1, "max_pending": 0}}}]))
    with mesh.speak() as first:
        assert first.recv(1) == CONNECTED
        assert mesh.status() in (OVERLOADED, "end")


def test_a_fault_that_refuses_is_told(mesh):
    mesh.serve()
    mesh.start_b(mesh.config_b(ports=[{"ports": [8080], "cluster": {"faults": {"refuse": {"percent": "100%"}}}}]))
    assert mesh.status() == REFUSED


def test_nothing_of_the_client_passes_before_the_app_is_there(mesh):
    """The client's bytes wait in its own sidecar while the other side's app is slow to be reached."""
    heard = []

    def serve(connection):
        heard.append(connection.recv(100))
        echo(connection)

    mesh.serve(serve)
    mesh.start_b(mesh.config_b(ports=[{"ports": [8080], "cluster": {"faults": {"delay": {"percent": "100%", "time": "500ms"}}}}]))
    mesh.start_a()
    with mesh.connect() as client:
        client.sendall(b"early")
        time.sleep(0.3)
        assert heard == [] and mesh.a.connections()[0]["state"] == "connecting"
        eventually(lambda: heard == [b"early"], what="the bytes")


@pytest.mark.parametrize("answer", [b"\x09", b"\xff"])
def test_a_status_that_is_not_known_is_a_failure(mesh, answer):
    a = ask_impostor(mesh, lambda peer: peer.sendall(answer))
    a.expect_ended({"connect_failed": 1}, "app")


def test_an_end_before_the_status_is_a_failure_of_tls(mesh):
    a = ask_impostor(mesh, lambda peer: peer.close())
    a.expect_ended({"connect_tls": 1}, "app")
    assert a.identity()["handshakes"]["dialled"].get("cut") == 1


def test_no_status_in_time_is_a_timeout(mesh):
    release = threading.Event()
    a = ask_impostor(mesh, lambda peer: release.wait(10), cluster={"timeouts": {"connect": "300ms"}})
    a.expect_ended({"connect_timeout": 1}, "app")
    release.set()


def ask_impostor(mesh, answer, **more):
    """The client's sidecar with a peer that is authentic, and answers otherwise."""
    context = tls_context(mesh.app.directory, server=True)
    mesh.bare()

    def serve(connection):
        with context.wrap_socket(connection, server_side=True) as peer:
            answer(peer)

    mesh.apps.append(mesh.server.inside(lambda: Server(serve, host=SERVER, port=8080)))
    a = mesh.start_a(mesh.config_a(**more))
    assert mesh.ask() == "reset"
    return a


def test_a_plain_server_is_a_failure_of_tls(mesh):
    """E5's other half: nothing is sent in the clear to who cannot prove anything."""
    heard = []
    mesh.bare()

    def serve(connection):
        heard.append(connection.recv(5))
        connection.sendall(b"220 hello\r\n")
        connection.close()

    mesh.apps.append(mesh.server.inside(lambda: Server(serve, host=SERVER, port=8080)))
    a = mesh.start_a()
    assert mesh.ask(b"a secret") == "reset"
    a.expect_ended({"connect_tls": 1}, "app")
    assert heard == [b"\x16\x03\x01" + heard[0][3:]]
    assert "not_tls" in a.identity()["handshakes"]["dialled"]


def test_an_endpoint_that_is_somebody_else(mesh):
    """E5: a good certificate of the mesh, but not the one that is expected."""
    app = mesh.serve()
    mesh.start_b()
    a = mesh.start_a(mesh.config_a({"peer_identities": [OTHER, "spiffe://cluster.local/ns/*/sa/db"]}))
    assert mesh.ask(b"a secret") == "reset"
    assert a.identity()["handshakes"]["dialled"] == {"identity": 1} and app.accepted == 0
    a.reload(mesh.config_a({"peer_identities": [OTHER, "spiffe://cluster.local/ns/*/sa/app"]}))
    assert mesh.ask() == b"x"


def test_a_server_that_refuses_the_client_s_certificate_is_told_apart(mesh):
    """Under TLS 1.3 the client's handshake is done before its certificate is looked at; what follows is an alert, no status."""
    mesh.serve()
    mesh.start_b()
    mesh.web.issue(identity="spiffe://other.example/ns/shop/sa/web")
    a = mesh.start_a({**mesh.config_a(), "identity": mesh.web.config(trust_domain="other.example", federation=[
        {"trust_domain": "cluster.local", "trust_bundle": f"{mesh.app.directory}/ca.crt"}])})
    a.reload({**mesh.config_a({"peer_identities": [APP]}), "identity": mesh.web.config(trust_domain="other.example", federation=[
        {"trust_domain": "cluster.local", "trust_bundle": f"{mesh.app.directory}/ca.crt"}])})
    assert mesh.ask() == "reset"
    eventually(lambda: a.identity()["handshakes"]["dialled"].get("refused") == 1, what="the problem")
    a.expect_ended({"connect_tls": 1}, "app")
    assert mesh.b.identity()["handshakes"]["accepted"] == {"trust_domain": 1}


class TestAuthorization:
    def test_identities_decide(self, mesh):
        """E12."""
        app = mesh.serve()
        rules = [{"action": "deny", "identities": [OTHER]}, {"action": "allow", "identities": ["spiffe://cluster.local/ns/shop/sa/*"]}]
        b = mesh.start_b({**mesh.config_b("permissive"), "authorization": rules})
        a = mesh.start_a()
        assert mesh.ask() == b"x" and app.accepted == 1
        with mesh.raw() as plain:
            plain.sendall(b"x")
            assert ending(plain) == (b"", "reset")
        b.expect_ended({"completed": 1, "denied": 1}, "inbound", "inbound")
        assert app.accepted == 1
        mesh.web.issue(identity=OTHER)
        eventually(lambda: a.identity()["spiffe_id"] == OTHER, what="the other identity")
        assert mesh.status() == DENIED
        assert mesh.ask() == "reset"
        eventually(lambda: a.ended("app").get("connect_denied") == 1, what="the reason")
        assert a.traffic("app", "listener")["connect_failures"] == {"denied": 1}
        assert app.accepted == 1

    def test_a_denial_is_no_failure_of_the_endpoint(self, mesh):
        mesh.serve()
        mesh.start_b({**mesh.config_b(), "authorization": [{"action": "allow", "identities": [OTHER]}]})
        a = mesh.start_a(mesh.config_a(cluster={"outlier_detection": {"consecutive_failures": 1}, "retry": {"attempts": 3}}))
        for _ in range(3):
            assert mesh.ask() == "reset"
        assert a.status()["clusters"][0]["endpoints"][0]["health"] == "healthy"
        assert a.traffic("app", "listener")["retries"] == 0

    def test_a_reload_ends_what_it_denies(self, mesh):
        mesh.serve()
        b = mesh.start_b()
        mesh.start_a()
        with mesh.connect() as client:
            client.sendall(b"x")
            assert client.recv(1) == b"x"
            b.reload({**mesh.config_b(), "authorization": [{"action": "allow", "identities": [WEB]}]})
            client.sendall(b"y")
            assert client.recv(1) == b"y"
            b.reload({**mesh.config_b(), "authorization": [{"action": "allow", "identities": [OTHER]}]})
            assert ending(client) == (b"", "reset")
        b.expect_ended({"denied": 1}, "inbound", "inbound")

    def test_a_reload_that_also_takes_the_port_s_entry_away(self, mesh):
        """Regression: a connection that stays with an older configuration for its cluster kept that one's rights."""
        mesh.serve()
        b = mesh.start_b(mesh.config_b(ports=[{"ports": [8080], "cluster": {"timeouts": {"connect": "4s"}}}]))
        mesh.start_a()
        with mesh.connect() as client:
            client.sendall(b"x")
            assert client.recv(1) == b"x"
            b.reload({**mesh.config_b(), "authorization": [{"action": "allow", "identities": [OTHER]}]})
            assert ending(client) == (b"", "reset")

    def test_a_plaintext_peer_that_no_identity_would_help_is_denied_at_once(self, mesh):
        """It is not made to wait for a ClientHello that nobody would listen to."""
        mesh.serve()
        mesh.start_b({**mesh.config_b("permissive"), "authorization": [{"action": "deny", "ports": [8080]}, {"action": "allow"}]})
        started = time.monotonic()
        with mesh.raw() as plain:
            assert ending(plain) == (b"", "reset")
        assert time.monotonic() - started < 1
        mesh.b.expect_ended({"denied": 1}, "inbound", "inbound")


def test_a_client_that_is_gone_in_the_middle_leaves_nothing(mesh):
    """A22: while the endpoint's handshake is under way, and while the status is awaited."""
    mesh.bare()
    held = []
    mesh.apps.append(mesh.server.inside(lambda: Server(held.append, host=SERVER, port=8080)))
    a = mesh.start_a()
    client = mesh.connect()
    client.sendall(b"x")
    eventually(lambda: held, what="the ClientHello's connection")
    linger_zero(client)
    client.close()
    eventually(lambda: a.ended("app") == {"client_gone": 1} and not a.connections(), what="the end")
    assert ending(held[0])[1] == "reset"
    assert json.loads(a.request("GET", "/stats")[1])["buffer_memory"]["free"] == 64 * 1024 * 1024


def test_a_peer_that_accepts_and_says_nothing_is_a_timeout(mesh):
    """B7: the timeout of the connect is that of the handshake, too."""
    mesh.bare()
    held = []
    mesh.apps.append(mesh.server.inside(lambda: Server(held.append, host=SERVER, port=8080)))
    a = mesh.start_a(mesh.config_a(cluster={"timeouts": {"connect": "300ms"}}))
    started = time.monotonic()
    assert mesh.ask() == "reset"
    assert 0.25 < time.monotonic() - started < 2
    a.expect_ended({"connect_timeout": 1}, "app")
    assert a.identity()["handshakes"]["dialled"] == {"timeout": 1}


def test_an_app_that_cuts_at_once_is_told_so(mesh):
    """It may be found by the status or after it: either way it is a reset, not a refusal."""
    def cut(connection):
        linger_zero(connection)
        connection.close()

    mesh.serve(cut)
    mesh.start_b()
    a = mesh.start_a()
    for _ in range(10):
        assert mesh.ask(b"") == "reset"
    eventually(lambda: sum(a.ended("app").values()) == 10, what="the ends")
    assert set(a.ended("app")) == {"upstream_reset"}


def test_a_reload_in_the_middle_of_a_handshake(mesh):
    """Regression: whom to expect was asked of the configuration that the handshake had begun with, which was gone by then."""
    context, go, begun = tls_context(mesh.app.directory, server=True), threading.Event(), threading.Event()
    mesh.bare()

    def serve(connection):
        begun.set()
        go.wait(10)
        with context.wrap_socket(connection, server_side=True) as peer:
            peer.sendall(CONNECTED)
            echo(peer)

    mesh.apps.append(mesh.server.inside(lambda: Server(serve, host=SERVER, port=8080)))
    a = mesh.start_a(mesh.config_a({"peer_identities": [OTHER]}))
    with mesh.connect() as client:
        client.sendall(b"x")
        assert begun.wait(5)
        for turn in range(3):
            status, text = a.reload(mesh.config_a({"peer_identities": [APP]}, cluster={"timeouts": {"connect": f"{3 + turn}s"}}))
            assert status == 200, text
        eventually(lambda: a.stats()["old_configurations"] == 0, what="the old ones are freed")
        go.set()
        assert client.recv(1) == b"x"

"""
Permissive: a sidecar is spoken to with TLS, everybody else as before, and nobody is guessed at: whoever speaks first decides, and an
app that speaks first waits for at most `detect`.
"""

import socket
import ssl
import time

import pytest

from tests.support.clients import ending
from tests.support.mesh import WEB, tls_context
from tests.support.processes import eventually
from tests.support.servers import echo, receive_all

GREETING = b"220 hello\r\n"


def greet(connection):
    connection.sendall(GREETING)
    echo(connection)


@pytest.mark.parametrize("mode", ["disabled", "permissive", "strict"])
@pytest.mark.parametrize("client", ["disabled", "mutual", "none"])
@pytest.mark.parametrize("first", ["server", "client"])
def test_the_matrix(mesh, mode, client, first):
    """What the server's side allows, what the client's does (a sidecar without TLS, with it, or no sidecar), who speaks first."""
    mesh.serve(greet if first == "server" else echo)
    b = mesh.start_b(mesh.config_b(mode, tls={"handshake_timeout": "1500ms"}))
    if client != "none":
        mesh.start_a(mesh.config_a({"mode": client}))
    started = time.monotonic()
    if first == "server":
        answer = mesh.ask(b"", **({} if client != "none" else {"port": 8080, "host": "10.78.0.2"}))
    else:
        answer = mesh.ask(b"hello", **({} if client != "none" else {"port": 8080, "host": "10.78.0.2"}))
    took = time.monotonic() - started
    expected = GREETING if first == "server" else b"hello"
    if mode == "strict" and client != "mutual" and first == "server":
        assert answer == "reset" and 1.4 < took < 4, "nobody speaks: it is the handshake's timeout that ends it"
        b.expect_ended({"client_tls_timeout": 1}, "inbound", "inbound")
    elif mode == "strict" and client != "mutual":
        assert answer == "reset"
        eventually(lambda: b.ended("inbound", "inbound") == {"tls_required": 1}, what="the reason")
    elif mode == "disabled" and client == "mutual":
        assert answer == "reset", "the app has got a ClientHello, and whatever it says is no TLS"
    else:
        assert answer == expected and took < 1
        eventually(lambda: not b.connections(), what="the end")
        assert b.identity()["handshakes"]["accepted"] == ({"none": 1} if client == "mutual" else {})


class TestTime:
    def test_a_server_that_speaks_first_waits_for_detect(self, mesh):
        mesh.serve(greet)
        mesh.start_b(mesh.config_b("permissive", tls={"detect": "400ms"}))
        started = time.monotonic()
        assert mesh.ask(b"", port=8080, host="10.78.0.2") == GREETING
        assert 0.35 < time.monotonic() - started < 1

    def test_detect_0_does_not_wait_at_all(self, mesh):
        mesh.serve(greet)
        mesh.start_b(mesh.config_b("permissive", ports=[{"ports": [8080], "tls": {"detect": "0s"}}]))
        started = time.monotonic()
        assert mesh.ask(b"", port=8080, host="10.78.0.2") == GREETING
        assert time.monotonic() - started < 0.09

    def test_a_client_that_speaks_first_does_not_wait(self, mesh):
        mesh.serve()
        mesh.start_b(mesh.config_b("permissive", tls={"detect": "5s"}))
        started = time.monotonic()
        assert mesh.ask(b"GET /", port=8080, host="10.78.0.2") == b"GET /"
        assert time.monotonic() - started < 0.5

    def test_a_client_that_only_ends_does_not_wait(self, mesh):
        mesh.serve(lambda connection: (receive_all(connection), connection.close()))
        mesh.start_b(mesh.config_b("permissive", tls={"detect": "5s"}))
        started = time.monotonic()
        with mesh.raw() as client:
            client.shutdown(socket.SHUT_WR)
            assert ending(client) == (b"", "end")
        assert time.monotonic() - started < 0.5

    def test_who_both_say_nothing_for_long_speak_plaintext_then(self, mesh):
        app = mesh.serve()
        b = mesh.start_b(mesh.config_b("permissive", tls={"handshake_timeout": "500ms"}))
        with mesh.raw() as client:
            eventually(lambda: [each["state"] for each in b.connections()] == ["detecting"], what="waiting")
            assert app.accepted == 1, "the app is dialled at once"
            eventually(lambda: [each["state"] for each in b.connections()] == ["awaiting_reply"], what="plaintext")
            client.sendall(b"late")
            assert client.recv(4) == b"late"


class TestBeginnings:
    """What looks like a ClientHello at first is waited for, and then passed on as it is."""

    @staticmethod
    def hello(mesh, alpn="outrigger/1"):
        inside, outside = ssl.MemoryBIO(), ssl.MemoryBIO()
        with pytest.raises(ssl.SSLWantReadError):
            tls_context(mesh.web.directory, alpn=alpn).wrap_bio(inside, outside).do_handshake()
        return outside.read()

    def test_a_hello_in_pieces_is_one(self, mesh):
        mesh.serve(greet)
        b = mesh.start_b(mesh.config_b("permissive", tls={"detect": "100ms"}))
        hello = self.hello(mesh)
        with mesh.raw() as client:
            for at in range(0, len(hello), 60):  # the app speaks meanwhile; a client that has begun has its time
                client.sendall(hello[at:at + 60])
                time.sleep(0.05)
            assert client.recv(5)[:3] == b"\x16\x03\x03"
        eventually(lambda: b.identity()["handshakes"]["accepted"] == {"cut": 1}, what="the handshake")

    def test_a_foreign_hello_is_the_app_s(self, mesh):
        """The app's own TLS is nobody else's business."""
        heard = []
        mesh.serve(lambda connection: (heard.append(connection.recv(65536)), connection.close()))
        mesh.start_b(mesh.config_b("permissive"))
        for alpn in ("h2", None):
            hello = self.hello(mesh, alpn)
            with mesh.raw() as client:
                client.sendall(hello)
                eventually(lambda: heard and heard[-1] == hello, what="the same bytes")

    @pytest.mark.parametrize("beginning", [b"\x16", b"\x16\x03", b"\x16\x03\x01\x02\x00\x01", b"\x16\x03\x01\x00\x01\x02"])
    def test_what_only_begins_like_one_is_passed_on(self, mesh, beginning):
        heard = []
        mesh.serve(lambda connection: (heard.append(receive_all(connection)), connection.close()))
        mesh.start_b(mesh.config_b("permissive", tls={"handshake_timeout": "700ms"}))
        with mesh.raw() as client:
            client.sendall(beginning)
            time.sleep(1)
            client.sendall(b"and more")
            client.shutdown(socket.SHUT_WR)
            eventually(lambda: heard == [beginning + b"and more"], what="the bytes")

    def test_what_only_begins_like_one_and_ends_is_passed_on_at_once(self, mesh):
        heard = []
        mesh.serve(lambda connection: (heard.append(receive_all(connection)), connection.close()))
        mesh.start_b(mesh.config_b("permissive"))
        with mesh.raw() as client:
            client.sendall(b"\x16\x03\x01")
            client.shutdown(socket.SHUT_WR)
            eventually(lambda: heard == [b"\x16\x03\x01"], timeout=2, what="the bytes")


def test_without_an_identity_nothing_is_looked_at(mesh):
    mesh.serve(greet)
    config = mesh.config_b("permissive", tls={"detect": "5s"})
    del config["identity"]
    mesh.start_b(config)
    started = time.monotonic()
    assert mesh.ask(b"", port=8080, host="10.78.0.2") == GREETING
    assert time.monotonic() - started < 1


def test_ports_of_their_own(mesh):
    mesh.serve()
    mesh.serve(port=8081)
    mesh.serve(port=8082)
    mesh.start_b(mesh.config_b("permissive", ports=[{"ports": [8081], "tls": {"mode": "strict"}}, {"ports": [8082], "tls": {"mode": "disabled"}}]))

    def ask(port):
        return mesh.ask(b"x", port=port, host="10.78.0.2")

    assert [ask(8080), ask(8081), ask(8082)] == [b"x", "reset", b"x"]
    assert [mesh.status(port=8080), mesh.status(port=8081)] == [b"\0", b"\0"]
    with pytest.raises((ssl.SSLError, OSError)):
        mesh.speak(port=8082)


def test_an_identity_that_a_rule_asks_for_is_waited_for_before_the_app_is_dialled(mesh):
    app = mesh.serve(greet)
    b = mesh.start_b({**mesh.config_b("permissive", tls={"handshake_timeout": "700ms"}), "authorization": [{"action": "allow", "identities": [WEB]}]})
    with mesh.raw() as client:
        eventually(lambda: [each["state"] for each in b.connections()] == ["awaiting_hello"], what="waiting")
        assert ending(client) == (b"", "reset")
    b.expect_ended({"client_tls_timeout": 1}, "inbound", "inbound")
    assert app.accepted == 0
    with mesh.raw() as client:
        client.sendall(b"GET /")
        assert ending(client) == (b"", "reset")
    b.expect_ended({"client_tls_timeout": 1, "denied": 1}, "inbound", "inbound")
    assert app.accepted == 0
    mesh.start_a()
    assert mesh.ask(b"") == GREETING


def test_rules_that_change_while_it_is_not_known_who_it_is(mesh):
    mesh.serve()
    b = mesh.start_b(mesh.config_b("permissive"))
    with mesh.raw() as client:
        eventually(lambda: [each["state"] for each in b.connections()] == ["detecting"], what="waiting")
        b.reload({**mesh.config_b("permissive"), "authorization": [{"action": "allow", "identities": [WEB]}]})
        assert [each["state"] for each in b.connections()] == ["detecting"], "it may yet prove to be somebody"
        client.sendall(b"x")
        assert ending(client) == (b"", "reset")
    b.expect_ended({"denied": 1}, "inbound", "inbound")


def test_the_app_is_cut_before_it_is_known_who_the_client_is(mesh):
    """A plaintext client that has said nothing sees the same as without a proxy."""
    def bye(connection):
        connection.sendall(b"bye")
        connection.close()

    mesh.serve(bye)
    mesh.start_b(mesh.config_b("permissive"))
    with mesh.raw() as client:
        assert ending(client) == (b"bye", "end")
    mesh.start_a()
    with mesh.connect() as client:
        assert ending(client) == (b"bye", "end")


def test_a_sidecar_that_finds_no_place_is_no_plaintext_client(mesh):
    """Regression: its ClientHello was handed to the app when its time was over."""
    heard = []
    mesh.serve(lambda connection: (heard.append(connection.recv(100)), connection.close()))
    b = mesh.start_b(mesh.config_b("permissive", tls={"handshake_timeout": "1s"}, limits={"tls_handshakes": 1}))
    hello = TestBeginnings.hello(mesh)
    with mesh.raw() as stuck, mesh.raw() as second:
        stuck.sendall(hello)
        eventually(lambda: [each["state"] for each in b.connections()].count("securing") == 1, what="the handshake")
        second.sendall(hello)
        with mesh.raw() as third:
            third.sendall(hello)
            assert ending(third)[1] == "reset"
    eventually(lambda: sum(b.ended("inbound", "inbound").values()) == 3, what="the ends")
    assert b"\x16\x03\x01" not in [each[:3] for each in heard]


def test_an_app_that_waits_for_the_header_with_the_identity_does_not_wait_long(mesh):
    """Regression: the header waited for the client, which waited for the app, which waited for the header."""
    def greet_after_header(connection):
        connection.recv(28)
        connection.sendall(GREETING)
        receive_all(connection)

    mesh.serve(greet_after_header)
    mesh.start_b(mesh.config_b("permissive", ports=[{"ports": [8080], "cluster": {"proxy_protocol": "v2", "proxy_protocol_identity": True}}]))
    started = time.monotonic()
    assert mesh.ask(b"", port=8080, host="10.78.0.2") == GREETING
    assert time.monotonic() - started < 1

"""
tls.mode auto: the mesh's TLS where the endpoint can, plain TCP where it never could; what has spoken TLS once is never spoken to
without it, and a certificate that is wrong is no reason to do without.
"""

import os
import time

import pytest

from tests.support.mesh import SERVER, Workload, tls_context
from tests.support.processes import eventually
from tests.support.servers import Server, echo


@pytest.fixture
def auto(mesh):
    def start(**more):
        return mesh.start_a(mesh.config_a({"mode": "auto"}, **more))
    return start


def plain_server(mesh, function=echo):
    mesh.bare()
    mesh.apps.append(mesh.server.inside(lambda: Server(function, host=SERVER, port=8080)))
    return mesh.apps[-1]


def tls_of(a):
    return a.status()["clusters"][0]["endpoints"][0]["tls"]


def test_a_sidecar_is_spoken_to_with_tls(mesh, auto):
    mesh.serve()
    b = mesh.start_b()
    a = auto()
    assert tls_of(a) == "unknown"
    assert mesh.ask() == b"x" and tls_of(a) == "mutual"
    assert b.identity()["handshakes"]["accepted"] == {"none": 1}


def answers_without_reading(connection):
    connection.sendall(b"220 hello\r\n")
    echo(connection)


def breaks_off(connection):
    if connection.recv(1) == b"\x16":
        connection.close()
    else:
        connection.sendall(b"x")
        connection.close()


def http(connection):
    data = connection.recv(65536)
    connection.sendall(b"x" if data == b"x" else b"HTTP/1.1 400 Bad Request\r\n\r\n")
    connection.close()


@pytest.mark.parametrize("server", [echo, answers_without_reading, breaks_off, http])
def test_a_plain_server_is_asked_once_and_then_spoken_to_as_it_can(mesh, auto, server):
    plain = plain_server(mesh, server)
    a = auto()
    for _ in range(3):
        assert mesh.ask() in (b"x", b"220 hello\r\n", b"220 hello\r\nx")
    assert plain.accepted == 4, "one with a ClientHello, then one for each"
    assert tls_of(a) == "plaintext"
    eventually(lambda: sum(a.ended("app").values()) == 3, what="the ends")
    assert a.traffic("app", "listener")["connect_failures"] == {} and a.traffic("app", "listener")["retries"] == 0
    assert a.status()["clusters"][0]["endpoints"][0]["health"] == "healthy"


def test_a_server_that_waits_for_more_costs_one_timeout(mesh, auto):
    """It has got a ClientHello and says nothing."""
    def wait_for_a_line(connection):
        if connection.recv(1) != b"\x16":
            connection.sendall(b"x")
        else:
            connection.recv(65536)
            connection.recv(65536)

    plain_server(mesh, wait_for_a_line)
    a = auto(cluster={"timeouts": {"connect": "400ms"}})
    started = time.monotonic()
    assert mesh.ask() == b"x"
    assert 0.35 < time.monotonic() - started < 2
    started = time.monotonic()
    assert mesh.ask() == b"x"
    assert time.monotonic() - started < 0.3 and a.traffic("app", "listener")["connect_failures"] == {}


def test_an_app_with_tls_of_its_own_is_left_alone(mesh, auto):
    def own_tls(connection):
        try:
            with tls_context(mesh.app.directory, server=True, alpn="h2").wrap_socket(connection, server_side=True) as peer:
                peer.recv(1)
        except OSError:
            connection.close()

    def both(connection):
        if connection.recv(1, 2) == b"\x16":  # MSG_PEEK
            own_tls(connection)
        else:
            echo(connection)

    plain_server(mesh, both)
    a = auto()
    assert mesh.ask() == b"x" and tls_of(a) == "plaintext"


def test_who_spoke_tls_once_is_never_spoken_to_without(mesh, auto):
    mesh.serve()
    b = mesh.start_b()
    a = auto()
    assert mesh.ask() == b"x"
    b.stop()
    heard = []

    def listen(connection):
        heard.append(connection.recv(3))
        connection.sendall(b"220 hello\r\n")
        connection.close()

    for app in mesh.apps:
        app.close()
    plain_server(mesh, listen)
    assert mesh.ask(b"a secret") == "reset"
    assert heard == [b"\x16\x03\x01"] and tls_of(a) == "mutual"
    eventually(lambda: a.ended("app").get("connect_tls") == 1, what="the reason")


@pytest.mark.parametrize("what", ["expired", "stranger"])
def test_a_wrong_certificate_is_no_reason_to_do_without(mesh, auto, tmp_path, what):
    """Else whoever is on the way would only have to show one."""
    from ca import CA
    heard = []
    other = Workload(mesh.ca if what == "expired" else CA(tmp_path / "other.ca"), tmp_path / "other", mesh.app.identity)
    if what == "expired":
        other.issue(begins=-2.0, ends=-1.0)
    other.ca = mesh.ca
    context = tls_context(mesh.app.directory, server=True)
    context.load_cert_chain(f"{other.directory}/tls.crt", f"{other.directory}/tls.key")

    def serve(connection):
        try:
            with context.wrap_socket(connection, server_side=True) as peer:
                heard.append(peer.recv(100))
        except OSError:
            connection.close()

    plain_server(mesh, serve)
    a = auto()
    assert mesh.ask(b"a secret") == "reset"
    assert b"a secret" not in heard and tls_of(a) == "unknown"
    a.expect_ended({"connect_tls": 1}, "app")


def test_the_next_endpoint_may_be_another_kind(mesh, auto):
    """Known for each endpoint."""
    mesh.serve(port=8081)
    mesh.start_b()
    plain = mesh.client.inside(lambda: Server(echo, host="127.0.0.1", port=8082))
    mesh.apps.append(plain)
    a = auto(cluster={"endpoints": [{"address": f"{SERVER}:8081"}, {"address": "127.0.0.1:8082"}], "load_balancing": {"policy": "round_robin"}})
    for _ in range(4):
        assert mesh.ask() == b"x"
    assert {each["address"]: each["tls"] for each in a.status()["clusters"][0]["endpoints"]} == {
        f"{SERVER}:8081": "mutual", "127.0.0.1:8082": "plaintext"}


def test_a_sidecar_that_was_not_ready_is_found_again(mesh, auto):
    """Regression: it had broken off once, and was spoken to in plaintext, which it refuses, for five minutes."""
    mesh.serve()
    certificate = f"{mesh.app.directory}/tls.crt"
    os.rename(certificate, f"{certificate}.away")
    b = mesh.start_b(wait=False)
    eventually(lambda: b.blockers() == ["certificates"], what="the blocker")
    a = auto()
    assert mesh.ask() == "reset"
    os.rename(f"{certificate}.away", certificate)
    eventually(b.is_ready, what="ready")
    eventually(lambda: mesh.ask() == b"x", timeout=3, what="mutual TLS")
    assert tls_of(a) == "mutual"

"""C23: health checks go the way that connections go: through TLS, to the app and not only to the sidecar before it."""

import pytest

from tests.support.processes import eventually
from tests.support.servers import echo


def health(a):
    return a.status()["clusters"][0]["endpoints"][0]["health"]


def http(connection):
    data = connection.recv(65536)
    connection.sendall(b"HTTP/1.1 %s\r\nContent-Length: 0\r\n\r\n" % (b"200 OK" if b"/good" in data else b"503 no"))
    connection.close()


@pytest.mark.parametrize("kind,check,serve,good", [
    ("tcp", {"type": "tcp"}, echo, True),
    ("http", {"type": "http", "path": "/good"}, http, True),
    ("http", {"type": "http", "path": "/bad"}, http, False),
    ("send_expect", {"type": "send_expect", "send": "PING", "expect": "PING"}, echo, True),
])
def test_checks_through_tls(mesh, kind, check, serve, good):
    mesh.serve(serve)
    b = mesh.start_b()
    a = mesh.start_a(mesh.config_a(cluster={"required": True, "health_check": {"interval": "100ms", "timeout": "1s", "fall": 1, **check}}))
    eventually(lambda: health(a) == ("healthy" if good else "unhealthy"), what=kind)
    eventually(lambda: b.identity()["handshakes"]["accepted"].get("none", 0) >= 2, what="two of them")
    assert "plain" not in b.log() and "tls_required" not in b.ended("inbound", "inbound")


def test_the_sidecar_lives_and_the_app_does_not(mesh):
    app = mesh.serve()
    mesh.start_b()
    a = mesh.start_a(mesh.config_a(cluster={"health_check": {"type": "tcp", "interval": "100ms", "timeout": "1s", "fall": 2, "rise": 1}}))
    eventually(lambda: app.accepted > 1, what="checks")
    assert health(a) == "healthy"
    app.close()
    eventually(lambda: health(a) == "unhealthy", what="the app's end")
    assert "is unhealthy: Connection refused" in a.log()
    mesh.apps.clear()
    mesh.serve()
    eventually(lambda: health(a) == "healthy", what="the app again")


def test_who_has_the_wrong_identity_is_unhealthy(mesh):
    mesh.serve()
    mesh.start_b()
    a = mesh.start_a(mesh.config_a({"peer_identities": ["spiffe://cluster.local/ns/shop/sa/db"]},
                                   cluster={"health_check": {"type": "tcp", "interval": "100ms", "timeout": "1s", "fall": 1}}))
    eventually(lambda: health(a) == "unhealthy", what="the verdict")
    assert "its identity is not among those expected" in a.log()


def test_without_a_certificate_of_our_own_nothing_is_said_of_others(mesh, tmp_path):
    mesh.serve()
    mesh.start_b()
    identity = {name: f"{tmp_path}/none" for name in ("certificate", "private_key", "trust_bundle")}
    a = mesh.start_a({**mesh.config_a(cluster={"health_check": {"type": "tcp", "interval": "50ms", "timeout": "1s", "fall": 1}}),
                      "identity": identity}, wait=False)
    eventually(lambda: "health checks are left out" in a.log(), what="the line")
    assert health(a) == "healthy"

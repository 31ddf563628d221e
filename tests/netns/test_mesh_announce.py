"""The PROXY protocol through the mesh: the app is told who its client is, with the identity that it has proven if it wants that."""

import struct

import pytest

from tests.support.mesh import CLIENT, WEB
from tests.support.servers import receive_all

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"


def told(connection):
    connection.sendall(receive_all(connection))
    connection.close()


@pytest.mark.parametrize("mode", ["strict", "permissive"])
@pytest.mark.parametrize("wants", [True, False])
def test_the_app_is_told_the_identity(mesh, mode, wants):
    mesh.serve(told)
    cluster = {"proxy_protocol": "v2", "proxy_protocol_identity": wants}
    mesh.start_b(mesh.config_b(mode, ports=[{"ports": [8080], "cluster": cluster}]))
    mesh.start_a()
    with mesh.connect() as client:
        client.sendall(b"hello")
        client.shutdown(1)
        heard = receive_all(client)
    addition = b"\xe0" + struct.pack(">H", len(WEB)) + WEB.encode() if wants else b""
    assert heard[:16] == SIGNATURE + b"\x21\x11" + struct.pack(">H", 12 + len(addition))
    assert ".".join(str(byte) for byte in heard[16:20]) == CLIENT
    assert heard[28:] == addition + b"hello"


def test_a_plaintext_client_has_none(mesh):
    mesh.serve(told)
    mesh.start_b(mesh.config_b("permissive", ports=[{"ports": [8080], "cluster": {"proxy_protocol": "v2", "proxy_protocol_identity": True}}]))
    with mesh.raw() as client:
        client.sendall(b"hello")
        client.shutdown(1)
        heard = receive_all(client)
    assert heard[:16] == SIGNATURE + b"\x21\x11\x00\x0c" and heard[28:] == b"hello"

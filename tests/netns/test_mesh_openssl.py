"""OpenSSL's own programs as peers: what docs/mesh-protocol.md says to try works, and so does the other side."""

import subprocess
import time

from tests.support.mesh import APP, SERVER
from tests.support.processes import eventually


def test_s_client_speaks_to_a_sidecar(mesh):
    mesh.serve()
    mesh.start_b()
    at = mesh.web.directory
    client = subprocess.Popen(mesh.client.command(["openssl", "s_client", "-connect", f"{SERVER}:8080", "-tls1_3", "-alpn", "outrigger/1", "-quiet", "-cert",
                                                   f"{at}/tls.crt", "-key", f"{at}/tls.key", "-CAfile", f"{at}/ca.crt", "-verify_return_error"]),
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        client.stdin.write(b"hello\n")
        client.stdin.flush()
        assert client.stdout.read(7) == b"\0hello\n"
    finally:
        client.kill()
        client.communicate()
    assert mesh.b.identity()["handshakes"]["accepted"] == {"none": 1}


def test_a_sidecar_speaks_to_s_server(mesh):
    mesh.bare()
    at = mesh.app.directory
    server = subprocess.Popen(mesh.server.command(["openssl", "s_server", "-accept", f"{SERVER}:8080", "-tls1_3", "-alpn", "outrigger/1", "-quiet", "-cert",
                                                   f"{at}/tls.crt", "-key", f"{at}/tls.key", "-CAfile", f"{at}/ca.crt", "-Verify", "2",
                                                   "-verify_return_error"]),
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        a = mesh.start_a()
        eventually(lambda: mesh.server.run(["ss", "-Hltn", "sport", "=", "8080"]).stdout, what="s_server listens")
        with mesh.connect() as client:
            client.sendall(b"hello\n")
            time.sleep(0.2)
            server.stdin.write(b"\0answer\n")
            server.stdin.flush()
            assert server.stdout.read(6) == b"hello\n", "after the status"
            assert client.recv(20) == b"answer\n"
            assert a.connections()[0]["endpoint_identity"] == APP
    finally:
        server.kill()
        server.communicate()

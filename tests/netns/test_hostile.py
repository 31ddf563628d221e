"""
E1, E2, E3, E7, E9, E30: whoever shows a certificate that is not an X509-SVID of the trust domain is refused, as a client and as a
server, each for a reason that is told; not a byte has passed by then.
"""

import os
import ssl
import subprocess
import sys
import time

import pytest

from tests.support.mesh import SERVER, open_to_proxy, tls_context
from tests.support.outrigger import ROOT
from tests.support.processes import eventually
from tests.support.servers import Server

sys.path.insert(0, os.path.join(ROOT, "tools", "lib"))

import hostile  # noqa: E402

# What is wrong with each, as the counters have it; the others break a rule of X509-SVID.
PROBLEMS = {
    "trust_domain_foreign": "trust_domain", "trust_domain_longer": "trust_domain", "trust_domain_shorter": "trust_domain",
    "expired": "expired", "expired_a_minute_ago": "expired", "not_yet_valid": "not_yet_valid", "ends_before_it_begins": "not_yet_valid",
    "revoked": "revoked", "intermediate_revoked": "revoked",
    **dict.fromkeys(["names_of_ten_thousand", "hundred_kilobytes", "unknown_critical_extension", "sha1", "rsa_1024", "explicit_curve",
                     "self_signed", "stranger", "namesake", "signed_by_a_leaf", "intermediate_is_no_ca", "intermediate_may_not_sign",
                     "intermediate_is_for_others", "path_too_long", "intermediate_missing", "chain_of_twenty", "signature_changed"],
                    "untrusted"),
}

# OpenSSL does not show these; GnuTLS does.
BY_GNUTLS = ["constraints_malformed", "key_usage_malformed"]

# Nobody shows these: the first is not read by any library at hand (tests/unit/tls/test_svid.c has it), the second's key is of a kind
# that TLS 1.3 does not know.
BY_NOBODY = ["names_malformed", "curve_of_224_bits"]


@pytest.fixture
def everything(mesh, tmp_path):
    """The hostile certificates' directories by name, and the list of what was revoked."""
    names = hostile.make(str(tmp_path / "hostile"), mesh.ca)
    open_to_proxy(tmp_path / "hostile")
    assert len(names) > 60 and set(PROBLEMS) | set(BY_GNUTLS) | set(BY_NOBODY) < set(names)
    return {name: f"{tmp_path}/hostile/{name}" for name in names if name not in BY_NOBODY}, f"{tmp_path}/hostile/crl.pem"


def show(directory, server=False):
    """OpenSSL with all its own scruples off."""
    context = tls_context(None) if not server else ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_alpn_protocols(["outrigger/1"])
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.load_cert_chain(f"{directory}/tls.crt", f"{directory}/tls.key")
    return context


def show_as_client(mesh, name, directory):
    """What a client with this certificate reads."""
    if name in BY_GNUTLS:
        shown = mesh.client.run(["gnutls-cli", "--insecure", "--alpn=outrigger/1", f"--x509certfile={directory}/tls.crt",
                                 f"--x509keyfile={directory}/tls.key", "-p", "8080", SERVER], check=False, stdin=subprocess.DEVNULL, timeout=10)
        assert "Received alert" in shown.stdout + shown.stderr
        return b""
    with mesh.raw() as plain:
        try:
            with show(directory).wrap_socket(plain) as peer:
                return peer.recv(100)
        except (ssl.SSLError, ConnectionResetError):
            return b""


def changes(before, now):
    return [problem for problem in now if now[problem] != before.get(problem, 0)]


def test_as_clients(mesh, everything):
    directories, crl = everything
    app = mesh.serve()
    b = mesh.start_b({**mesh.config_b(), "identity": mesh.app.config(crl=crl)})
    found = {}
    for name, directory in directories.items():
        before = b.identity()["handshakes"]["accepted"]
        assert show_as_client(mesh, name, directory) == b"", name
        eventually(lambda: changes(before, b.identity()["handshakes"]["accepted"]), what=name)
        found[name] = changes(before, b.identity()["handshakes"]["accepted"])
    assert found == {name: [PROBLEMS.get(name, "not_svid")] for name in directories}
    b.expect_ended({"client_tls": len(found)}, "inbound", "inbound")
    assert app.accepted == 0
    log = b.log()
    for words in ("it has more than one URI name", "it is a signing certificate", "certificate has expired", "certificate revoked",
                  "its certificates are too long", "its SPIFFE ID has no path", "its key may sign certificates or revocation lists"):
        assert words in log
    assert mesh.status() == b"\0", "a good one is let in"


class Impostor:
    """A server that shows what it is told to, and keeps what it hears."""

    def __init__(self, mesh):
        mesh.bare()
        self.context, self.heard = None, []
        self.server = mesh.server.inside(lambda: Server(self.serve, host=SERVER, port=9443))

    def serve(self, connection):
        with self.context.wrap_socket(connection, server_side=True) as peer:
            peer.send(b"\0")
            self.heard.append(peer.recv(100))


def test_as_servers(mesh, everything):
    directories, crl = everything
    impostor = Impostor(mesh)
    mesh.apps.append(impostor.server)
    a = mesh.start_a({**mesh.config_a(port=9443), "identity": mesh.web.config(crl=crl)})
    found = {}
    for name, directory in directories.items():
        if name in BY_GNUTLS:
            continue
        impostor.context = show(directory, server=True)
        before = a.identity()["handshakes"]["dialled"]
        assert mesh.ask(b"a secret") == "reset", name
        found[name] = changes(before, a.identity()["handshakes"]["dialled"])
    assert found == {name: [PROBLEMS.get(name, "not_svid")] for name in found}
    a.expect_ended({"connect_tls": len(found)}, "app")
    assert impostor.heard == [b""] * len(impostor.heard)
    impostor.context = show(mesh.app.directory, server=True)
    mesh.ask(b"a secret")
    assert impostor.heard[-1] == b"a secret", "a good one hears it"


def test_malformed_ones_as_servers(mesh, everything):
    directories, _ = everything
    mesh.bare()
    a = mesh.start_a(mesh.config_a(port=9443))
    for count, name in enumerate(BY_GNUTLS, 1):
        at = directories[name]
        server = mesh.server.start(["gnutls-serv", "--echo", "--alpn=outrigger/1", f"--x509certfile={at}/tls.crt", f"--x509keyfile={at}/tls.key",
                                    "--x509cafile", f"{mesh.app.directory}/ca.crt", "-p", "9443"], f"{at}/gnutls.log")
        try:
            eventually(lambda: mesh.ask(b"a secret") == "reset" and a.identity()["handshakes"]["dialled"].get("not_svid", 0) >= count, what=name)
            assert "a secret" not in server.log()
        finally:
            server.stop()


def test_a_client_without_a_certificate(mesh):
    """E1."""
    app = mesh.serve()
    b = mesh.start_b()
    with mesh.raw() as plain, pytest.raises(ssl.SSLError, match="CERTIFICATE_REQUIRED"):
        with tls_context(None).wrap_socket(plain) as peer:
            peer.recv(1)
    eventually(lambda: b.identity()["handshakes"]["accepted"] == {"no_certificate": 1}, what="the reason")
    assert app.accepted == 0


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_1])
def test_older_versions(mesh, version):
    """E17: an alert, and counted. TLS 1.2 has no way to say that an ALPN is missing before its version is refused."""
    mesh.serve()
    b = mesh.start_b()
    with mesh.raw() as plain, pytest.raises(ssl.SSLError):
        context = tls_context(mesh.web.directory, version=version)
        context.set_ciphers("ALL:@SECLEVEL=0")
        context.wrap_socket(plain)
    eventually(lambda: b.identity()["handshakes"]["accepted"] == {"version": 1}, what="the reason")


def test_another_protocol_inside_tls(mesh):
    mesh.serve()
    b = mesh.start_b()
    for alpn in ("h2", None):
        with mesh.raw() as plain:
            try:
                with tls_context(mesh.web.directory, alpn=alpn).wrap_socket(plain) as peer:
                    assert peer.recv(1) == b""
            except (ssl.SSLError, ConnectionResetError):
                continue
    eventually(lambda: b.identity()["handshakes"]["accepted"] == {"not_mesh": 2}, what="the reasons")


def test_nothing_is_resumed(mesh):
    """E20, E21: no ticket is given, and each handshake proves who the client is."""
    mesh.serve()
    mesh.start_b()
    for _ in range(3):
        with mesh.speak() as peer:
            assert peer.recv(1) == b"\0"
            assert not peer.session_reused and not (peer.session and peer.session.has_ticket)


def test_bytes_around_the_handshake_are_nobody_s(mesh):
    """E16: what stands before or behind a ClientHello in the clear is never taken for what came inside TLS."""
    app = mesh.serve()
    b = mesh.start_b()
    inside, outside = ssl.MemoryBIO(), ssl.MemoryBIO()
    with pytest.raises(ssl.SSLWantReadError):
        tls_context(mesh.web.directory).wrap_bio(inside, outside).do_handshake()
    hello = outside.read()
    for data in (b"GET / HTTP/1.1\r\n\r\n" + hello, hello + b"GET / HTTP/1.1\r\n\r\n"):
        with mesh.raw() as plain:
            plain.sendall(data)
            try:
                while plain.recv(65536):
                    continue
            except ConnectionResetError:
                continue
    eventually(lambda: sum(b.ended("inbound", "inbound").values()) == 2, what="the ends")
    b.expect_ended({"tls_required": 1, "client_tls": 1}, "inbound", "inbound")
    assert app.accepted == 0


@pytest.mark.parametrize("part", [0, 1, 40])
def test_silent_clients_are_let_go_and_disturb_nobody(mesh, part):
    """B10: 300 of them, which say nothing, a byte, or a part of a ClientHello."""
    mesh.serve()
    b = mesh.start_b(mesh.config_b(tls={"handshake_timeout": "1500ms"}, limits={"tls_handshakes": 16}))
    mesh.start_a()
    inside, outside = ssl.MemoryBIO(), ssl.MemoryBIO()
    with pytest.raises(ssl.SSLWantReadError):
        tls_context(mesh.web.directory).wrap_bio(inside, outside).do_handshake()
    hello = outside.read()[:part]
    silent = [mesh.raw() for _ in range(300)]
    for each in silent:
        each.sendall(hello)
    started = time.monotonic()
    assert mesh.ask() == b"x"
    assert time.monotonic() - started < 1
    eventually(lambda: b.ended("inbound", "inbound").get("client_tls_timeout") == 300, what="the timeouts")
    for each in silent:
        each.close()


def test_handshakes_beyond_the_limit_wait_and_succeed(mesh):
    """One at a time, and one that is never finished holds the only place until its time is over; those behind it have theirs."""
    mesh.serve()
    b = mesh.start_b(mesh.config_b(tls={"handshake_timeout": "2s"}, limits={"tls_handshakes": 1}))
    mesh.start_a()
    inside, outside = ssl.MemoryBIO(), ssl.MemoryBIO()
    with pytest.raises(ssl.SSLWantReadError):
        tls_context(mesh.web.directory).wrap_bio(inside, outside).do_handshake()
    with mesh.raw() as stuck:
        stuck.sendall(outside.read())
        eventually(lambda: [each["state"] for each in b.connections()] == ["securing"], what="the handshake")
        time.sleep(1)
        started = time.monotonic()
        assert mesh.ask() == b"x"
        assert 0.3 < time.monotonic() - started < 2
    b.expect_ended({"client_tls_timeout": 1, "completed": 1}, "inbound", "inbound")

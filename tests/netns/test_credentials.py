"""
A workload's own files: what is written there is in force for the next handshake, what cannot be used changes nothing and is told of,
and who was revoked is gone.
"""

import os
import ssl
import time

import pytest

from tests.support.clients import ending
from tests.support.mesh import APP, WEB, Workload, tls_context
from tests.support.outrigger import ROOT  # noqa: F401  (the CA's path is set there)
from tests.support.processes import eventually

from ca import CA, LEAF, openssl

DAY = 86400


def serial(mesh):
    """Of the certificate that the server's sidecar shows."""
    with mesh.speak() as peer:
        peer.recv(1)
        return openssl("x509", "-inform", "DER", "-noout", "-serial", input=peer.getpeercert(binary_form=True)).decode()


def test_a_renewal_is_in_force_for_the_next_handshake_and_disturbs_nobody(mesh):
    """F1."""
    mesh.serve()
    b = mesh.start_b()
    mesh.start_a()
    before = serial(mesh)
    with mesh.connect() as client:
        mesh.app.issue()
        eventually(lambda: b.identity()["loaded"] == 2, what="the renewal")
        assert serial(mesh) != before
        client.sendall(b"still here")
        assert client.recv(20) == b"still here"
    assert b.identity()["refused"] == 0


def replace(path, data):
    with open(f"{path}.new", "wb") as file:
        file.write(data)
    os.chown(f"{path}.new", 1337, 1337)
    os.rename(f"{path}.new", path)


class Files(Workload):
    """The same files without the links: as somebody writes them one after the other."""

    def issue(self, **options):
        for name in ("tls.crt", "tls.key", "ca.crt"):
            if os.path.lexists(f"{self.directory}/{name}"):
                os.unlink(f"{self.directory}/{name}")
        directory = super().issue(**options)
        for name in ("tls.crt", "tls.key", "ca.crt"):
            with open(f"{directory}/{name}", "rb") as file:
                data = file.read()
            os.unlink(f"{directory}/{name}")
            replace(f"{directory}/{name}", data)
        return directory


@pytest.mark.parametrize("what", ["key", "identity", "trust_domain", "garbage", "missing", "no_svid", "bundle", "unreadable"])
def test_what_cannot_be_used_changes_nothing(mesh, tmp_path, what):
    """E4, E24, E27, F14."""
    mesh.serve()
    mesh.app = Files(mesh.ca, tmp_path / "files", APP)
    b = mesh.start_b({**mesh.config_b(), "identity": mesh.app.config(spiffe_id=APP)})
    before = serial(mesh)
    at = mesh.app.directory
    other = Workload(mesh.ca, tmp_path / "other", {"identity": WEB, "trust_domain": "spiffe://other.example/ns/shop/sa/app"}.get(what, APP))
    if what in ("identity", "trust_domain", "no_svid"):
        if what == "no_svid":
            other.issue(extensions={"subjectAltName": "DNS:app", **LEAF})
        for name in ("tls.key", "tls.crt"):
            with open(f"{other.directory}/{name}", "rb") as file:
                replace(f"{at}/{name}", file.read())
    elif what == "key":
        with open(f"{other.directory}/tls.key", "rb") as file:
            replace(f"{at}/tls.key", file.read())
    elif what == "garbage":
        replace(f"{at}/tls.crt", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    elif what == "bundle":
        replace(f"{at}/ca.crt", b"")
    elif what == "unreadable":
        replace(f"{at}/tls.key", b"x")
        os.chmod(f"{at}/tls.key", 0o000)
        os.chown(f"{at}/tls.key", 0, 0)
    else:
        os.unlink(f"{at}/tls.crt")
        time.sleep(0.3)
        replace(f"{at}/ca.crt", open(f"{other.directory}/ca.crt", "rb").read())
    expected = {"key": "tls.crt: it does not belong to the private key", "identity": "tls.crt: its SPIFFE ID is not the one of identity.spiffe_id",
                "trust_domain": "tls.crt: its SPIFFE ID is not in the trust domain of identity.trust_domain",
                "garbage": "tls.crt: certificate 1 in it cannot be read", "missing": "tls.crt: No such file or directory",
                "no_svid": "tls.crt: it has no URI name", "bundle": "ca.crt: there is no certificate in it (PEM, -----BEGIN CERTIFICATE-----)",
                "unreadable": "tls.key: Permission denied"}[what]
    eventually(lambda: b.identity()["problem"] == f"{at}/{expected}", what="the problem")
    assert b.identity()["refused"] >= 1 and b.metrics()["outrigger_credential_last_load_successful"] == 0
    assert serial(mesh) == before and b.is_ready()
    assert f"identity: {at}/{expected}; the credentials there are stay in force" in b.log()
    mesh.app.issue()
    eventually(lambda: b.identity()["problem"] is None, what="mended")
    assert serial(mesh) != before and b.metrics()["outrigger_credential_last_load_successful"] == 1


def test_not_ready_before_the_first_certificate(mesh, tmp_path):
    """E15."""
    mesh.serve()
    later = tmp_path / "later"
    identity = {"certificate": f"{later}/tls.crt", "private_key": f"{later}/tls.key", "trust_bundle": f"{later}/ca.crt"}
    b = mesh.start_b({**mesh.config_b("permissive"), "identity": identity}, wait=False)
    eventually(lambda: b.blockers() == ["certificates"], what="the blocker")
    assert mesh.status() != b"\0"
    eventually(lambda: b.identity()["handshakes"]["accepted"].get("no_credentials") == 1, what="the refusal")
    assert mesh.ask(b"x", port=8080, host="10.78.0.2") == b"x", "plaintext goes on where it may"
    Workload(mesh.ca, later, APP)
    eventually(b.is_ready, what="ready")
    assert mesh.status() == b"\0"


def test_no_certificate_of_our_own_is_no_fault_of_the_endpoint(mesh, tmp_path):
    mesh.serve()
    mesh.start_b()
    identity = {"certificate": f"{tmp_path}/none/tls.crt", "private_key": f"{tmp_path}/none/tls.key", "trust_bundle": f"{tmp_path}/none/ca.crt"}
    a = mesh.start_a({**mesh.config_a(cluster={"outlier_detection": {"consecutive_failures": 1}}), "identity": identity}, wait=False)
    eventually(lambda: a.blockers() == ["certificates"], what="the blocker")
    assert mesh.ask() == "reset"
    a.expect_ended({"connect_tls": 1}, "app")
    assert a.identity()["handshakes"]["dialled"] == {"no_credentials": 1}
    assert a.status()["clusters"][0]["endpoints"][0]["health"] == "healthy"


def test_a_reload_looks_at_the_files_too(mesh):
    """F1: who sends SIGHUP after a renewal does not have to wait for a watch that may not see it (a file system of a network)."""
    mesh.serve()
    b = mesh.start_b()
    mesh.app.issue()
    assert "nothing has changed" in b.reload(mesh.config_b())[1]
    eventually(lambda: b.identity()["loaded"] == 2, timeout=1, what="the renewal")
    time.sleep(0.4)
    assert b.identity()["loaded"] == 2, "once"


def test_a_reload_to_files_that_are_not_there_is_refused(mesh):
    """E23: all of it, or nothing."""
    mesh.serve()
    b = mesh.start_b()
    status, text = b.reload({**mesh.config_b(), "identity": mesh.app.config(crl="/nowhere/crl.pem")})
    assert status >= 400 and "stays in force" in text
    assert mesh.status() == b"\0"
    status, text = b.reload({**mesh.config_b("permissive")})
    assert status == 200


def test_a_reload_that_begins_with_an_identity_must_have_it(mesh, tmp_path):
    """Regression: it was taken without its files, and the proxy said that it was ready."""
    mesh.serve()
    plain = mesh.config_b("disabled")
    del plain["identity"]
    b = mesh.start_b(plain)
    identity = {name: f"{tmp_path}/none" for name in ("certificate", "private_key", "trust_bundle")}
    assert b.reload({**mesh.config_b(), "identity": identity})[0] >= 400
    assert mesh.ask(b"x", port=8080, host="10.78.0.2") == b"x"
    assert b.reload(mesh.config_b())[0] == 200
    assert mesh.status() == b"\0"
    assert b.reload(plain)[0] == 200
    assert mesh.ask(b"x", port=8080, host="10.78.0.2") == b"x" and b.identity() is None


def test_a_reload_that_takes_the_identity_away_in_the_middle_of_a_handshake(mesh):
    """Regression: what is done was asked for lists that there were no more."""
    mesh.serve()
    b = mesh.start_b()
    inside, outside = ssl.MemoryBIO(), ssl.MemoryBIO()
    peer = tls_context(mesh.web.directory).wrap_bio(inside, outside)
    with mesh.raw() as plain:
        with pytest.raises(ssl.SSLWantReadError):
            peer.do_handshake()
        plain.sendall(outside.read())
        inside.write(plain.recv(65536))
        without = mesh.config_b("disabled")
        del without["identity"]
        assert b.reload(without)[0] == 200
        peer.do_handshake()
        plain.sendall(outside.read())
        inside.write(plain.recv(65536))
        assert peer.read(1) == b"\0", "who had begun goes on"
    assert b.program.is_running()


def test_a_reload_to_other_files_takes_them(mesh, tmp_path):
    mesh.serve()
    b = mesh.start_b()
    before = serial(mesh)
    other = Workload(mesh.ca, tmp_path / "other", APP)
    assert b.reload({**mesh.config_b(), "identity": other.config()})[0] == 200
    after = serial(mesh)
    assert after != before
    mesh.app.issue()
    time.sleep(0.4)
    assert serial(mesh) == after, "the old files are watched no longer"
    other.issue()
    eventually(lambda: serial(mesh) != after, what="the new ones")


class TestRevocation:
    def crl(self, mesh, tmp_path):
        mesh.ca.crl(tmp_path / "crl.pem")
        os.chmod(tmp_path / "crl.pem", 0o644)
        return str(tmp_path / "crl.pem")

    @pytest.mark.parametrize("side", ["inbound", "outbound"])
    def test_who_is_revoked_loses_what_there_is_and_gets_nothing_new(self, mesh, tmp_path, side):
        """E25, in both directions: within ten seconds."""
        crl = self.crl(mesh, tmp_path)
        mesh.serve()
        b = mesh.start_b({**mesh.config_b(), "identity": mesh.app.config(**({"crl": crl} if side == "inbound" else {}))})
        a = mesh.start_a({**mesh.config_a(), "identity": mesh.web.config(**({"crl": crl} if side == "outbound" else {}))})
        with mesh.connect() as client:
            client.sendall(b"x")
            assert client.recv(1) == b"x"
            mesh.ca.revoke(f"{(mesh.web if side == 'inbound' else mesh.app).directory}/tls.crt")
            started = time.monotonic()
            self.crl(mesh, tmp_path)
            assert ending(client) == (b"", "reset")
            assert time.monotonic() - started < 10
        proxy, cluster, direction, way = (b, "inbound", "inbound", "accepted") if side == "inbound" else (a, "app", "listener", "dialled")
        proxy.expect_ended({"revoked": 1}, cluster, direction)
        assert mesh.ask() == "reset"
        eventually(lambda: proxy.identity()["handshakes"][way].get("revoked") == 1, what="the refusal")
        (mesh.web if side == "inbound" else mesh.app).issue()
        eventually(lambda: mesh.ask() == b"x", what="a fresh certificate is another one")

    def test_a_list_that_comes_in_the_middle_of_a_handshake_counts(self, mesh, tmp_path):
        """Regression: the handshake asks the lists that it has begun with, and what lives already was asked before it lived."""
        crl = self.crl(mesh, tmp_path)
        mesh.serve()
        b = mesh.start_b({**mesh.config_b(), "identity": mesh.app.config(crl=crl)})
        inside, outside = ssl.MemoryBIO(), ssl.MemoryBIO()
        peer = tls_context(mesh.web.directory).wrap_bio(inside, outside)
        with mesh.raw() as plain:
            with pytest.raises(ssl.SSLWantReadError):
                peer.do_handshake()
            plain.sendall(outside.read())
            inside.write(plain.recv(65536))
            eventually(lambda: [each["state"] for each in b.connections()] == ["securing"], what="the middle")
            mesh.ca.revoke(f"{mesh.web.directory}/tls.crt")
            self.crl(mesh, tmp_path)
            eventually(lambda: b.identity()["loaded"] == 2, what="the list")
            peer.do_handshake()
            plain.sendall(outside.read())
            b.expect_ended({"revoked": 1}, "inbound", "inbound")
        assert b.identity()["handshakes"]["accepted"] == {"revoked": 1}

    def test_a_list_that_says_nothing_of_a_peer_does_not_end_it(self, mesh, tmp_path):
        crl = self.crl(mesh, tmp_path)
        mesh.serve()
        b = mesh.start_b({**mesh.config_b(), "identity": mesh.app.config(crl=crl)})
        mesh.start_a()
        other = Workload(mesh.ca, tmp_path / "other", WEB)
        with mesh.connect() as client:
            mesh.ca.revoke(f"{other.directory}/tls.crt")
            self.crl(mesh, tmp_path)
            eventually(lambda: b.identity()["loaded"] == 2, what="the list")
            client.sendall(b"x")
            assert client.recv(1) == b"x"

    def test_without_a_current_list_nobody_is_believed(self, mesh, tmp_path):
        """E33: it fails closed; what there is stays."""
        mesh.serve()
        other = CA(tmp_path / "stranger")
        other.crl(tmp_path / "crl.pem")
        os.chmod(tmp_path / "crl.pem", 0o644)
        b = mesh.start_b({**mesh.config_b(), "identity": mesh.app.config(crl=f"{tmp_path}/crl.pem")})
        assert mesh.status() != b"\0"
        eventually(lambda: b.identity()["handshakes"]["accepted"] == {"crl": 1}, what="the problem")


class TestRoots:
    def test_three_phases_of_a_root_s_change(self, mesh, tmp_path):
        """E26: the old root, both, the new one; at no time does anybody fail."""
        mesh.serve()
        mesh.start_b()
        mesh.start_a()
        fresh = CA(tmp_path / "fresh")

        def both_do(**options):
            for workload in (mesh.app, mesh.web):
                workload.issue(**options)
                for _ in range(20):
                    assert mesh.ask() == b"x"
                    time.sleep(0.02)

        both_do(roots=[mesh.ca, fresh])
        both_do(ca=fresh, roots=[mesh.ca, fresh])
        both_do(ca=fresh, roots=[fresh])
        old = Workload(mesh.ca, tmp_path / "old", WEB)
        assert mesh.status(old.directory) != b"\0", "and then the old one is worth nothing"

    def test_federation_believes_each_domain_by_its_own_bundle(self, mesh, tmp_path):
        mesh.serve()
        partner = CA(tmp_path / "partner", "partner.example")
        them = Workload(partner, tmp_path / "them", "spiffe://partner.example/ns/x/sa/y")
        liar = Workload(partner, tmp_path / "liar", WEB)
        b = mesh.start_b({**mesh.config_b(), "identity": mesh.app.config(federation=[
            {"trust_domain": "partner.example", "trust_bundle": f"{them.directory}/ca.crt"}])})
        assert mesh.status(them.directory) == b"\0"
        assert mesh.status(mesh.web.directory) == b"\0"
        assert mesh.status(liar.directory) != b"\0", "its root is trusted, but not for this domain"
        eventually(lambda: b.identity()["handshakes"]["accepted"] == {"none": 2, "untrusted": 1}, what="the problem")
        assert b.identity()["trust_domains"] == 2

    def test_an_intermediate_may_be_the_anchor(self, mesh, tmp_path):
        """A bundle names those that are trusted; they need not have signed themselves."""
        mesh.serve()
        below = CA(tmp_path / "below", parent=mesh.ca)
        mesh.web.issue(ca=below)
        mesh.app.issue(roots=[below])
        b = mesh.start_b()
        assert mesh.status() == b"\0"
        assert b.identity()["roots"] == 1


def test_what_runs_out_is_told(mesh):
    mesh.serve()
    mesh.app.issue(begins=-1.0, ends=0.05)
    b = mesh.start_b()
    now = time.time()
    assert 0.04 * DAY < b.metrics()["outrigger_certificate_expiry_timestamp_seconds"] - now < 0.06 * DAY
    mesh.app.issue(begins=-2.0, ends=-1.0)
    eventually(lambda: "the certificate has expired: peers will refuse it" in b.log(), what="the alarm")
    text = b.ctl("identity").stdout
    assert "no longer: it has expired" in text and APP in text


def test_the_command_shows_who_one_is(mesh):
    mesh.serve()
    mesh.start_b()
    mesh.status()
    text = mesh.b.ctl("identity").stdout
    assert f"identity     {APP}\nvalid        for another " in text and "trusts       1 roots of 1 trust domains\n" in text
    assert "accepted     1 handshakes succeeded\n" in text
    plain = mesh.config_b("disabled")
    del plain["identity"]
    mesh.b.reload(plain)
    assert mesh.b.ctl("identity").stdout == "identity     none is configured: there is no mutual TLS\n"
    assert mesh.b.request("GET", "/identity")[1] == "null\n"

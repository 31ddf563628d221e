"""tools/dev-ca makes what a sidecar is given in a cluster, as openssl sees it, and replaces it in one step."""

import contextlib
import os
import stat
import sys

import pytest

from tests.support.outrigger import ROOT
from tests.support.processes import run

sys.path.insert(0, os.path.join(ROOT, "tools", "lib"))

import hostile  # noqa: E402
from ca import CA, Failed, openssl  # noqa: E402


def dev_ca(*words, check=True):
    return run([f"{ROOT}/tools/dev-ca", *words], check=check)


def verify(directory, *words):
    return openssl("verify", "-x509_strict", "-purpose", "sslserver", "-CAfile", f"{directory}/ca.crt", *words, f"{directory}/tls.crt")


def test_an_svid_by_the_commands(tmp_path):
    at = ["--dir", tmp_path / "ca"]
    dev_ca("init", "--trust-domain", "prod.example", *at)
    dev_ca("issue", "web", "ns/shop/sa/web", *at)
    web = tmp_path / "ca" / "web"
    assert b": OK" in verify(web)
    text = openssl("x509", "-in", web / "tls.crt", "-noout", "-text").decode()
    assert "URI:spiffe://prod.example/ns/shop/sa/web\n" in text and "CA:FALSE" in text
    assert stat.S_IMODE(os.stat(web / "tls.key").st_mode) == 0o600
    dev_ca("revoke", "web", *at)
    with pytest.raises(Failed, match="certificate revoked"):
        verify(web, "-crl_check", "-CRLfile", tmp_path / "ca" / "crl.pem")


def test_replacing_changes_every_file_at_once(tmp_path):
    ca = CA(tmp_path / "root")
    for _ in range(3):
        directory = ca.issue(tmp_path / "web", "ns/shop/sa/web")
    assert len([name for name in os.listdir(directory) if name.startswith("..fresh")]) == 1
    own = openssl("pkey", "-in", f"{directory}/tls.key", "-pubout")
    assert openssl("x509", "-in", f"{directory}/tls.crt", "-noout", "-pubkey") == own


def test_an_intermediate_stands_behind_its_leaf(tmp_path):
    root = CA(tmp_path / "root")
    directory = CA(tmp_path / "intermediate", parent=root).issue(tmp_path / "web", "ns/shop/sa/web")
    assert b": OK" in verify(directory, "-untrusted", f"{directory}/tls.crt")
    with pytest.raises(Failed, match="unable to get local issuer"):
        verify(directory)


def test_what_is_missing_is_told(tmp_path):
    done = dev_ca("issue", "web", "ns/a", "--dir", tmp_path, check=False)
    assert done.returncode == 1 and "begin with: tools/dev-ca init" in done.stderr


# What OpenSSL alone would let pass: SPIFFE's own rules, and those of strength.
PASS_OPENSSL = {name for name in hostile.LEAVES if not name.endswith("malformed")} - {"may_sign_certificates", "unknown_critical_extension"} | \
    {"sha1", "rsa_1024", "curve_of_224_bits", "chain_of_twenty"}


def test_hostile_certificates_are_what_they_say(tmp_path):
    """Each has its key, and OpenSSL's own path validation refuses exactly those whose fault is its business."""
    root = CA(tmp_path / "root")
    names = hostile.make(tmp_path / "hostile", root)
    assert len(names) == len(set(names)) > 60
    passed = set()
    for name in names:
        directory = tmp_path / "hostile" / name
        if not name.endswith("malformed"):
            assert openssl("pkey", "-in", directory / "tls.key", "-pubout") == openssl("x509", "-in", directory / "tls.crt", "-noout", "-pubkey")
        with contextlib.suppress(Failed):
            openssl("verify", "-x509_strict", "-crl_check_all", "-CRLfile", tmp_path / "hostile" / "crl.pem", "-CAfile", root.certificate,
                    "-untrusted", directory / "tls.crt", directory / "tls.crt")
            passed.add(name)
    assert passed == PASS_OPENSSL

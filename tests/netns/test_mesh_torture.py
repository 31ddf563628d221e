"""Thousands of connections of every kind through mutual TLS: each byte is checked, and each ending is what a direct one would show."""

import pytest

from tests.support.mesh import APP, Workload
from tests.support.processes import eventually
from tests.support.servers import free_port
from tests.support.torture import LIMITS, REASONS, TORTURE, Violation, run

ADDRESS = "10.76.1.1"


@pytest.mark.parametrize("mode", ["strict", "permissive"])
@pytest.mark.parametrize("seed,limits", enumerate(LIMITS, 1))
def test_torture_through_mutual_tls_finds_nothing(namespace, start, programs, tmp_path, mode, seed, limits):
    """One process is both sides: what it dials at the pod's address comes back through the inbound capture port."""
    from ca import CA
    tmp_path.chmod(0o755)
    pod, upstream, port = namespace("pod"), free_port(), free_port()
    pod.run(["ip", "address", "add", f"{ADDRESS}/32", "dev", "lo"])
    pod.run([f"{programs}/outrigger-init"])
    identity = Workload(CA(tmp_path / "root"), tmp_path / "app", APP).config()
    proxy = start({
        "workers": 2, "limits": limits, "health": {"port": 15021}, "identity": identity, "log": {"format": "text", "level": "info"},
        "intercept": {"inbound": {"tls": {"mode": mode, "handshake_timeout": "20s"}, "ports": [
            {"ports": [8080], "cluster": {"endpoints": [{"address": f"127.0.0.1:{upstream}"}], "retry": {"attempts": 1},
                                          "outlier_detection": {"consecutive_failures": 0}}}]}},
        "listeners": [{"name": "test", "address": f"127.0.0.1:{port}", "cluster": "test"}],
        "clusters": [{"name": "test", "endpoints": [{"address": f"{ADDRESS}:8080"}], "tls": {"mode": "mutual"}, "retry": {"attempts": 1},
                      "timeouts": {"connect": "20s"}, "outlier_detection": {"consecutive_failures": 0}}],
        "drain": {"timeout": "200ms"},
    }, namespace=pod, uid=1337)
    done = run(pod.command([TORTURE, "--listen", upstream, "--connect", port, "--connections", 600, "--seed", seed, "--at-once", 100]),
               check=False, timeout=250)
    if done.returncode != 0 or " 0 violations" not in done.stdout:
        raise Violation(done.stdout + done.stderr)
    eventually(lambda: proxy.status()["connections"]["active"] == 0, what="no connection left")
    assert set(proxy.ended("test")) <= REASONS, proxy.ended("test")
    assert set(proxy.ended("inbound:8080", "inbound")) <= REASONS | {"client_tls"}, proxy.ended("inbound:8080", "inbound")
    stats = proxy.stats()["buffer_memory"]
    assert stats["bytes"] - stats["free"] <= 2 * 256 * 1024, "only what each worker has at hand is charged now"

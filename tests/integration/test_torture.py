"""Ten thousand connections of every kind: each byte is checked, and each ending is what a direct connection would show."""

import os

import pytest

from tests.support.outrigger import built_programs
from tests.support.processes import eventually, run
from tests.support.servers import free_port

TORTURE = os.path.join(built_programs(), "torture")


def torture(*words):
    done = run([TORTURE, *words], check=False, timeout=280)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 violations" in done.stdout
    return done.stdout


def test_torture_finds_nothing_without_a_proxy():
    """The measure itself: a violation here is a mistake of the test."""
    port = free_port()
    torture("--listen", port, "--connect", port, "--connections", 500, "--seed", 7)


@pytest.mark.parametrize("seed,limits", [(1, {}), (2, {"buffer_per_connection": "4KiB", "buffer_memory": "1MiB"}),
                                         (3, {"buffer_per_connection": "16KiB", "buffer_memory": "1MiB"}),
                                         (4, {"buffer_per_connection": "1MiB"})])
def test_torture_through_the_proxy_finds_nothing(start, seed, limits):
    upstream, port = free_port(), free_port()
    proxy = start({
        "workers": 2,
        "limits": limits,
        "listeners": [{"name": "test", "address": f"127.0.0.1:{port}", "cluster": "test"}],
        "clusters": [{"name": "test", "endpoints": [{"address": f"127.0.0.1:{upstream}"}], "retry": {"attempts": 1}}],
    })
    torture("--listen", upstream, "--connect", port, "--connections", 2500, "--seed", seed)
    eventually(lambda: proxy.active() == 0, what="no connection left")
    traffic = proxy.traffic("test", "listener")
    assert traffic["opened"] == sum(traffic["ended"].values()) == 2500
    assert set(traffic["ended"]) <= {"completed", "client_reset", "upstream_reset", "client_gone"}, traffic["ended"]

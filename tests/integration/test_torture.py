"""Ten thousand connections of every kind: each byte is checked, and each ending is what a direct connection would show."""

import pytest

from tests.support.servers import free_port
from tests.support.torture import LIMITS, play, torture_proxy


def test_torture_finds_nothing_without_a_proxy():
    """The measure itself: a violation here is a mistake of the test."""
    port = free_port()
    assert play(["--listen", port, "--connect", port, "--connections", 500, "--seed", 7], 120) > 0


@pytest.mark.parametrize("seed,limits", enumerate(LIMITS, 1))
def test_torture_through_the_proxy_finds_nothing(programs, tmp_path, seed, limits):
    tmp_path.chmod(0o755)
    assert torture_proxy(programs, tmp_path / "proxy", seed, 2500, limits) > 100_000_000

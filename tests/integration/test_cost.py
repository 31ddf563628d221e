"""
A request's cost in instructions and system calls stays under the recorded ceiling: a guard that does not depend on the machine's speed.
Lower a ceiling when the figure falls; raising one wants a reason in the commit. What peers need: bench/run --workload cost.
"""

import os

import pytest

from bench.bench import Bench
from bench.peers.outrigger import Outrigger
from bench.workloads import cost
from tests.support.outrigger import built_programs

# Recorded on Debian 12 (glibc 2.36, libevent 2.1.12): 2454 and 6.04; 10960 and 23.2. Of the first 87 came with TLS: what a transport owes
# and has inside is asked after every turn, of plain ones too. Of the second, 80 came with the last end's being counted before it is sent
# (whether it was cut is asked of SO_ERROR, not told by shutdown), and 35 with limits for clients.
CEILINGS = {
    "keep-alive": {"instructions_per_request": 2500, "syscalls_per_request": 6.1},
    "connection a request": {"instructions_per_request": 11200, "syscalls_per_request": 24.5},
}


@pytest.mark.skipif(os.path.basename(os.path.dirname(built_programs())) != "release", reason="the ceilings are the release build's")
@pytest.mark.parametrize("variant", list(CEILINGS))
def test_cost_of_a_request_is_under_its_ceiling(variant):
    bench = Bench(built_programs())
    peer = Outrigger(bench)
    try:
        measured = cost.run(bench, peer, variant, 1)
    finally:
        peer.stop()
        bench.close()
    over = {key: (measured[key], most) for key, most in CEILINGS[variant].items() if measured[key] > most}
    assert not over, f"measured, ceiling: {over}"

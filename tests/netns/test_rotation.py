"""The drill of tools/campaign rotation in short: certificates are renewed and the root changes under wrk, and nothing fails."""

import os
import sys

from tests.support.outrigger import ROOT, built_programs
from tests.support.processes import run


def test_rotations_lose_nothing():
    done = run([sys.executable, "-B", os.path.join(ROOT, "tools", "lib", "rotation.py"), "--rotations", "8"],
               env={**os.environ, "OUTRIGGER_BIN": os.path.abspath(built_programs())}, check=False, timeout=200)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith("\n0 failed requests, 0 failed handshakes.\n")

"""The drill of tools/campaign rollout in short: reloads and takeovers under wrk and PostgreSQL sessions lose nothing."""

import os
import sys

from tests.support.outrigger import ROOT, built_programs
from tests.support.processes import run


def test_a_rollout_loses_nothing():
    done = run([sys.executable, "-B", os.path.join(ROOT, "tools", "lib", "rollout.py"), "--reloads", "30", "--takeovers", "2"],
               env={**os.environ, "OUTRIGGER_BIN": os.path.abspath(built_programs())}, check=False, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith("\n0 failed requests, 0 unexplained endings.\n")

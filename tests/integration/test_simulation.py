"""The simulation of retries is deterministic, and budgets bound what three tiers multiply."""

import os
import sys

from tests.support.outrigger import ROOT
from tests.support.processes import run


def simulate(*words):
    done = run([sys.executable, "-B", os.path.join(ROOT, "bench", "simulate_retries"), "--sidecars", "30", *words], check=False)
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in done.stdout.splitlines() if line.startswith("|")]
    return done, {row[0]: row[1:] for row in rows[2:]}


def test_same_seed_gives_the_same_figures():
    assert simulate("--rates", "5")[0].stdout == simulate("--rates", "5")[0].stdout
    assert simulate("--rates", "5", "--seed", "2")[1]["no retry"][1] != simulate("--rates", "5")[1]["no retry"][1]


def test_budget_bounds_what_tiers_multiply():
    found = simulate("--rates", "50")[1]
    assert found["no retry"][0] == "1.00" and found["3 attempts, no budget"][0] == "27.00"
    # 20 % of 500 connections in 10 s, 3/s, and the burst of 100: 230 retries a sidecar, and more of them from the tiers above.
    assert float(found["3 attempts, default budget"][0]) <= 1.46 ** 3 * 1.1
    assert float(found["3 attempts, budget without a burst"][0]) < float(found["3 attempts, default budget"][0])
    assert float(found["3 attempts, default budget"][1].rstrip("%")) > 99


def test_wrong_usage_is_refused():
    assert simulate("--rates", "fast")[0].returncode == 2
    assert simulate("--rates", "0")[0].returncode == 2

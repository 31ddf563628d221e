"""The benchmark measures what it says, writes the records that it promises, and refuses what it does not know."""

import json
import os

import pytest

from tests.support.outrigger import ROOT, built_programs
from tests.support.processes import run

RUN = os.path.join(ROOT, "bench", "run")
FAULTS = os.path.join(ROOT, "bench", "run_faults")
KEYS = {"workload", "proxy", "round", "requests_per_second", "cpu_us_per_request", "p50_us", "p99_us", "bytes_per_second", "rss_kib",
        "bytes_per_connection", "errors"}


@pytest.mark.skipif(os.path.basename(os.path.dirname(built_programs())) != "release",
                    reason="it measures the release build, whichever build is tested")
def test_bench_writes_a_record_for_each_proxy_and_round(tmp_path):
    path = tmp_path / "out.json"
    done = run([RUN, "--workload", "small,connect", "--proxy", "direct,floor,outrigger,haproxy,nginx", "--rounds", 1, "--seconds", 1,
                "--json", path], timeout=300)
    records = json.loads(path.read_text())
    assert {(each["workload"], each["proxy"]) for each in records} == {
        (workload, proxy) for workload in ("small", "connect") for proxy in ("direct", "floor", "outrigger", "haproxy", "nginx")}
    for each in records:
        assert KEYS <= set(each)
        assert each["requests_per_second"] > 100 and each["errors"] == 0 and each["p50_us"] > 0
        assert (each["cpu_us_per_request"] is None) == (each["proxy"] == "direct")
    assert "× outrigger" in done.stdout


@pytest.mark.parametrize("words,expected", [
    (["--workload", "smal"], "unknown workload smal; known: small, connect, bulk, latency, idle, start, redirect, cost"),
    (["--proxy", "outriger"], "unknown proxy outriger; known: direct, floor, outrigger"),
    (["--rounds", "0"], "must be a whole number of at least 1"),
])
def test_bench_names_what_it_knows(words, expected):
    done = run([RUN, *words], check=False)
    assert done.returncode == 2 and expected in done.stderr


@pytest.mark.skipif(os.path.basename(os.path.dirname(built_programs())) != "release",
                    reason="it measures the release build, whichever build is tested")
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root for network namespaces")
def test_faults_are_measured_and_one_that_refuses_costs_nothing(tmp_path):
    path = tmp_path / "out.json"
    done = run([FAULTS, "--fault", "refuses", "--proxy", "outrigger,haproxy,nginx", "--rounds", 1, "--rate", 100, "--json", path], timeout=300)
    records = {each["proxy"]: each for each in json.loads(path.read_text())}
    assert set(records) == {"outrigger", "haproxy", "nginx"}
    for each in records.values():
        assert each["requests"] > 1000 and each["attempts_first"] > 0
    assert records["outrigger"]["failed"] == 0
    assert "| one refuses |" in done.stdout


def test_faults_name_what_they_know():
    done = run([FAULTS, "--fault", "refuse"], check=False)
    assert done.returncode == 2 and "unknown fault refuse; known: none, refuses" in done.stderr

"""Metrics are what Prometheus expects, bounded, exact, and what the rules and the dashboard of deploy/ ask for."""

import json
import os
import re
import subprocess
import time
import urllib.parse
import urllib.request

import pytest

from tests.support.clients import connect, connect_late, ending, exchange, served
from tests.support.processes import Program, eventually
from tests.support.seeded import Seeded
from tests.support.servers import echo, free_port, reset

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def families_of(text):
    return dict(line.split()[2:4] for line in text.splitlines() if line.startswith("# TYPE"))


def promtool(*words, given=""):
    done = subprocess.run(["promtool", *words], input=given, capture_output=True, text=True, timeout=30, check=False)
    return done.returncode, done.stdout + done.stderr


def test_promtool_finds_nothing_to_say(serve, plain):
    proxy, port = plain([serve(echo).port, free_port()])
    for _ in range(4):
        exchange(port, b"x")
    text = proxy.request("GET", "/metrics")[1]
    assert promtool("check", "metrics", given=text) == (0, "")
    families = families_of(text)
    names = [line.split("{")[0].split(" ")[0] for line in text.splitlines() if not line.startswith("#")]
    for name in names:
        base = re.sub("_(bucket|sum|count)$", "", name)
        assert name in families or families.get(base) == "histogram", name
    for name, kind in families.items():
        assert (kind == "counter") == name.endswith("_total"), name
    assert "(null)" not in text and "nan" not in text.lower()


def test_every_family_is_documented_and_every_one_that_deploy_asks_for_exists(serve, plain):
    proxy, _ = plain([serve(echo).port])
    families = families_of(proxy.request("GET", "/metrics")[1])
    with open(f"{ROOT}/docs/metrics.md", encoding="utf-8") as file:
        documented = re.findall(r"^\| `(\w+)` \| (\w+) \|", file.read(), re.MULTILINE)
    assert dict(documented) == families
    for path in ("deploy/prometheus/rules.yaml", "deploy/grafana/outrigger.json"):
        with open(f"{ROOT}/{path}", encoding="utf-8") as file:
            asked = set(re.findall(r"\b(?:outrigger|process)_\w+", file.read()))
        known = set(families) | {f"{name}_bucket" for name, kind in families.items() if kind == "histogram"}
        assert asked and asked <= known, asked - known


@pytest.mark.parametrize("rules", ["rules", "injector_rules"])
def test_rules_are_valid_and_fire_when_they_should(rules):
    assert promtool("check", "rules", f"{ROOT}/deploy/prometheus/{rules}.yaml")[0] == 0
    code, text = promtool("test", "rules", f"{ROOT}/deploy/prometheus/{rules}_test.yaml")
    assert code == 0, text


def test_a_real_prometheus_scrapes_it_and_a_recorded_query_answers(serve, plain, tmp_path):
    health, port_prometheus = free_port(), free_port()
    _, port = plain([serve(echo).port], health={"port": health})
    config = {"global": {"scrape_interval": "1s", "evaluation_interval": "1s"}, "rule_files": [f"{ROOT}/deploy/prometheus/rules.yaml"],
              "scrape_configs": [{"job_name": "outrigger", "static_configs": [{"targets": [f"127.0.0.1:{health}"]}]}]}
    (tmp_path / "prometheus.yaml").write_text(json.dumps(config))
    prometheus = Program(["prometheus", f"--config.file={tmp_path}/prometheus.yaml", f"--storage.tsdb.path={tmp_path}/data",
                          f"--web.listen-address=127.0.0.1:{port_prometheus}", "--log.level=warn"], tmp_path / "prometheus.log")
    try:
        def query(text):
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port_prometheus}/api/v1/query?" + urllib.parse.urlencode({"query": text}), timeout=5) as answer:
                    return [float(row["value"][1]) for row in json.load(answer)["data"]["result"]]
            except OSError:
                return []
        exchange(port, b"x")  # else the first scrape that has the series has it all
        eventually(lambda: query("outrigger_connections_opened_total") == [1], what="the first scrape", timeout=20)
        for _ in range(30):
            exchange(port, b"x")
        eventually(lambda: query("outrigger_connections_opened_total") == [31], what="the scrape", timeout=20)
        eventually(lambda: any(rate > 0 for rate in query('outrigger:connections_ended:rate5m{reason="completed"}')), what="the recorded rate", timeout=20)
        assert query('up{job="outrigger"}') == [1]
        assert query("outrigger_build_info") == [1]
    finally:
        prometheus.stop()

def test_durations_are_in_their_buckets(serve, plain):
    def slow(connection):
        data = connection.recv(100)
        time.sleep(0.3)
        connection.sendall(data)
        connection.close()
    proxy, port = plain([serve(slow).port])
    exchange(port, b"x")
    metrics = proxy.metrics()
    labels = 'direction="listener",cluster="test"'
    first_byte = {bound: metrics[f'outrigger_first_byte_duration_seconds_bucket{{{labels},le="{bound}"}}'] for bound in ("0.25", "0.5", "1", "+Inf")}
    assert first_byte == {"0.25": 0, "0.5": 1, "1": 1, "+Inf": 1}
    assert 0.3 <= metrics[f"outrigger_first_byte_duration_seconds_sum{{{labels}}}"] < 0.5
    assert metrics[f'outrigger_connect_duration_seconds_bucket{{{labels},le="0.25"}}'] == 1
    assert 0.3 <= metrics[f"outrigger_connection_duration_seconds_sum{{{labels}}}"] < 0.5
    assert metrics[f"outrigger_connection_duration_seconds_count{{{labels}}}"] == 1


def test_an_endpoint_that_fails_is_named_with_its_state(serve, plain):
    good, bad = serve(echo).port, free_port()
    proxy, port = plain([good, bad], cluster={"outlier_detection": {"consecutive_failures": 1, "base_ejection": "1m"},
                                              "load_balancing": {"policy": "round_robin"}})
    for _ in range(4):
        exchange(port, b"x")
    metrics = proxy.metrics()

    def of(name, endpoint, more=""):
        return metrics[f'outrigger_endpoint_{name}{{cluster="test",endpoint="127.0.0.1:{endpoint}"{more}}}']
    assert of("connects_total", good) == 4 and of("connect_failures_total", bad) == 1 and of("ejections_total", bad) == 1
    assert of("state", bad, ',state="ejected"') == 1 and of("state", bad, ',state="healthy"') == 0
    assert of("state", good, ',state="healthy"') == 1
    assert metrics["outrigger_endpoints_left_out"] == 0


def test_series_are_bounded_however_many_endpoints_and_peers_there_are(serve, plain):
    good = serve(echo).port
    proxy, port = plain([good] + list(range(1, 400)), cluster={"load_balancing": {"policy": "random"}, "retry": {"attempts": 5}})
    before = len(proxy.metrics())
    for _ in range(200):  # each from another port, and some with words of the peer's
        with connect_late(port, timeout=0.2) as client:
            try:
                client.sendall(b'GET / HTTP/1.1\r\nHost: "}\n evil 1\r\n\r\n')
                client.recv(1)
            except OSError:
                pass
    metrics = proxy.metrics()
    assert metrics["outrigger_endpoints_left_out"] == 400 - 256
    assert sum(name.startswith("outrigger_endpoint_connects_total") for name in metrics) == 256
    assert len(metrics) - before < 120  # the direction's own rows, and reasons


def test_a_circuit_breaker_that_is_open_shows(serve, plain):
    proxy, port = plain([serve(echo).port], cluster={"circuit_breaker": {"max_connections": 1, "max_pending": 5, "pending_timeout": "10s"}})
    with served(port), connect(port):
        eventually(lambda: proxy.metrics()['outrigger_cluster_pending{cluster="test"}'] == 1, what="the queue")
        metrics = proxy.metrics()
        assert metrics['outrigger_cluster_circuit_breaker_open{cluster="test"}'] == 1
        assert metrics['outrigger_cluster_connections_active{cluster="test"}'] == metrics['outrigger_cluster_max_connections{cluster="test"}'] == 1


def test_what_is_left_of_the_retry_budget_shows(serve, plain):
    proxy, port = plain([serve(reset).port], cluster={"retry": {"attempts": 3, "budget": {"percent": "0%", "min_per_second": 0, "burst": 5, "window": "0s"}}})
    assert proxy.metrics()['outrigger_cluster_retry_budget_left{cluster="test"}'] == 5
    with connect_late(port) as client:
        assert ending(client) == (b"", "reset")
    eventually(lambda: proxy.metrics()['outrigger_cluster_retry_budget_left{cluster="test"}'] == 3, what="two retries spent")


@pytest.mark.parametrize("seed", [1, 2])
def test_counters_are_the_clients_own_count(serve, start, seed):
    """Every way to end, in random order, over both workers: nothing is counted twice, and nothing is lost."""
    Seeded(serve, start, seed).run(int(os.environ.get("OUTRIGGER_SEEDED_CONNECTIONS", "2500")))

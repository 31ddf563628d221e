"""A worker that is stuck is told of, and holds up nothing but itself; a log that cannot be written holds up nothing."""

import json
import time
import urllib.request

import pytest
import yaml

from tests.support.clients import exchange
from tests.support.processes import Program, eventually
from tests.support.servers import echo, free_port
from tests.support.stopped_thread import StoppedThread, threads_of


@pytest.fixture
def stuck(plain, serve):
    """A proxy with one of its two workers stopped."""
    server = serve(echo)
    proxy, port = plain([server.port], workers=2)
    assert proxy.request("GET", "/connections")[0] == 200  # every worker has had a turn
    thread = StoppedThread(threads_of(proxy.pid)[-1])
    yield proxy, port, thread
    try:
        thread.go_on()
    except OSError:
        pass  # it goes on already


def test_liveness_names_a_worker_that_is_stuck(stuck):
    proxy, _, thread = stuck
    assert proxy.request("GET", "/healthz/live") == (200, "live\n")
    eventually(lambda: proxy.request("GET", "/healthz/live") in [(503, f"worker {i} is stuck\n") for i in range(2)], what="the verdict", timeout=9)
    thread.go_on()
    eventually(lambda: proxy.request("GET", "/healthz/live") == (200, "live\n"), what="life", timeout=3)


def test_commands_that_need_every_worker_say_so_and_others_go_on(stuck):
    proxy, _, thread = stuck
    with open(proxy.config_path, encoding="utf-8") as file:
        config = yaml.safe_load(file)
    begun = time.monotonic()
    status, text = proxy.request("GET", "/connections")
    assert status == 503 and text == "a worker is stuck\n" and time.monotonic() - begun < 3
    for i, (expected, words) in enumerate([(200, "reloaded"), (503, "a worker has not changed over")]):
        config["clusters"][0]["timeouts"] = {"connect": f"{i + 1}s"}
        status, text = proxy.reload(config)
        assert status == expected and words in text
    assert proxy.request("GET", "/healthz/ready")[0] == 200
    thread.go_on()
    assert proxy.reload(config)[0] == 200
    assert json.loads(proxy.request("GET", "/connections")[1])["total"] == 0


def test_takeover_and_undrain_wait_for_every_worker(stuck):
    proxy, port, thread = stuck
    with open(proxy.config_path, encoding="utf-8") as file:
        config = yaml.safe_load(file)
    config["clusters"][0]["timeouts"] = {"connect": "1s"}
    assert proxy.reload(config)[0] == 200
    status, text = proxy.request("POST", "/takeover")
    assert status == 503 and "try again" in text
    assert proxy.request("POST", "/drain")[0] == 200
    time.sleep(0.1)
    status, text = proxy.request("POST", "/undrain")
    assert status == 503 and "it goes on draining; try again" in text
    thread.go_on()
    eventually(lambda: proxy.request("POST", "/undrain")[0] == 200, what="another try")
    assert exchange(port, b"x") == b"x"


def test_a_log_that_cannot_be_written_holds_up_nothing(programs, serve, tmp_path):
    """Case I14: its disk is full."""
    port, health = free_port(), free_port()
    (tmp_path / "outrigger.yaml").write_text(yaml.safe_dump({
        "version": 1, "log": {"level": "debug"}, "health": {"port": health}, "admin": {"port": 0},
        "control": {"path": str(tmp_path / "control.sock")}, "drain": {"timeout": "200ms"},
        "listeners": [{"name": "test", "address": f"127.0.0.1:{port}", "cluster": "test"}],
        "clusters": [{"name": "test", "endpoints": [{"address": f"127.0.0.1:{serve(echo).port}"}]}]}))
    program = Program([f"{programs}/outrigger", "-c", tmp_path / "outrigger.yaml"], "/dev/full")
    try:
        def metrics():
            with urllib.request.urlopen(f"http://127.0.0.1:{health}/metrics", timeout=5) as answer:
                return answer.read().decode()

        def is_up():
            try:
                return exchange(port, b"x") == b"x"
            except OSError:
                return False

        eventually(is_up, what="the proxy")
        assert [exchange(port, b"hello") for _ in range(100)] == [b"hello"] * 100
        dropped = next(int(line.split()[1]) for line in metrics().splitlines() if line.startswith("outrigger_log_dropped_lines_total "))
        assert dropped >= 100
    finally:
        assert program.stop() == 0
